"""`manage.py jobs schedules`: what it prints, what it does, and its exit codes."""

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import PeriodicTask

from jobs.models import AuditEntry, Job
from schedules.models import Occurrence
from tests.integration.test_cli_jobs import jobs
from tests.support import tasks  # noqa: F401  registers them
from tests.support.rows import make_job
from tests.support.schedules import clock, companion, make_schedule

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _none_stands() -> None:
    PeriodicTask.objects.all().delete()


def schedules(*arguments: Any) -> tuple[int, str, str]:
    return jobs("schedules", *arguments)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_a_terminal(*arguments: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    call_command("jobs", "schedules", *map(str, arguments), stdout=out)
    return out.getvalue()


class TestList:
    def test_each_is_a_line_with_its_times_and_its_last_state(self) -> None:
        one = make_schedule("mail out", cron="0 8 * * *", enabled=False)
        two = make_schedule("ping", every=90)
        companion(two, next_run_at=datetime(2100, 1, 1, tzinfo=UTC))
        at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        job = make_job(state="completed")
        Occurrence.objects.create(
            schedule_id=two.pk, due_at=at, decided_at=at, kind="schedule", state="fired", job_id=job
        )
        code, out, _ = schedules("list")
        assert code == 0
        assert [line.split("\t") for line in out.splitlines()] == [
            [str(one.pk), "mail out", "0 8 * * *", "UTC", "disabled", "", "", ""],
            [
                *(str(two.pk), "ping", "@every 1m30s", "", "enabled"),
                *("2100-01-01 00:00:00", "2026-01-02 03:04:05", "completed"),
            ],
        ]

    def test_it_is_narrowed_and_said_as_json(self) -> None:
        make_schedule("mail out")
        task = make_schedule("ping", task="tests.support.tasks.fail")
        for narrow in (("--name", "PIN"), ("--task", "tests.support.tasks.fail")):
            (found,) = json.loads(schedules("list", *narrow, "--json")[1])
            assert (found["id"], found["name"], found["when"]) == (task.pk, "ping", "@every 1m")

    def test_a_terminal_gets_a_table(self, monkeypatch: pytest.MonkeyPatch) -> None:
        make_schedule("mail [red]out")
        lines = on_a_terminal("list", monkeypatch=monkeypatch).splitlines()
        assert any("next run" in line and "last run" in line for line in lines)
        assert any("mail [red]out" in line and "@every 1m" in line for line in lines)

    def test_a_name_gives_a_terminal_no_orders(self) -> None:
        make_schedule("a\x1b[2Jb\tc\nd")
        assert schedules("list")[1].split("\t")[1] == "a [2Jb c d"

    def test_many_take_few_queries(self) -> None:
        for number in range(30):
            make_schedule(f"s{number}")
        with CaptureQueriesContext(connection) as captured:
            schedules("list")
        assert len(captured) == 1


def test_show_tells_everything_and_the_latest_occurrences() -> None:
    task = make_schedule("mail", policy={"overlap": "skip"}, kwargs="{}")
    due = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    Occurrence.objects.create(
        schedule_id=task.pk,
        due_at=due,
        decided_at=due,
        count=3,
        kind="schedule",
        state="skipped",
        reason="job 1 is not over",
    )
    code, out, _ = schedules("show", "mail")
    assert code == 0
    assert "overlap\tskip\n" in out
    assert out.splitlines()[-1] == "2026-01-02 03:04:05 and 2 more\tskipped\tschedule\t0.0 s\t\t\tjob 1 is not over"
    said = json.loads(schedules("show", task.pk, "--json")[1])
    assert (said["id"], said["overlap"], said["occurrences"][0]["state"]) == (task.pk, "skip", "skipped")


class TestPreview:
    def test_a_text_in_a_zone_with_what_the_clock_does(self) -> None:
        code, out, _ = schedules("preview", "30 2 26 3 *", "--zone", "Europe/Berlin", "--count", "40")
        lines = out.splitlines()
        assert code == 0
        assert lines[0] == "At 02:30, on day 26 of the month, only in March (Europe/Berlin); times in Europe/Berlin"
        assert "Sun 2028-03-26 03:00:00 +0200\tthe clock skips ahead to it" in lines
        assert len(lines) == 41

    def test_a_schedule_by_id_or_by_name(self) -> None:
        task = make_schedule("hourly", cron="0 * * * *")
        by_id, by_name = (schedules("preview", key, "--json")[1] for key in (task.pk, "hourly"))
        assert by_id == by_name
        assert len(json.loads(by_id)["runs"]) == 10

    @pytest.mark.parametrize(
        ("arguments", "code", "says"),
        [
            (("61 * * * *",), 2, "Invalid minute '61'"),
            (("0 8 * *",), 2, "of 4 fields"),
            (("@dayly",), 2, "Did you mean '@daily'?"),
            (("@daily", "--zone", "Mars"), 2, "Unknown timezone 'Mars'"),
            (("@daily", "--count", "0"), 2, "Expected 1 to 10,000"),
            (("chek_feeds",), 3, "There is no schedule 'chek_feeds'"),
            (("77777",), 3, "There is no schedule '77777'"),
        ],
    )
    def test_what_can_not_be_is_told(self, arguments: Any, code: int, says: str) -> None:
        found, out, err = schedules("preview", *arguments)
        assert (found, out) == (code, "")
        assert says in err


def test_run_makes_a_job_and_prints_its_id() -> None:
    make_schedule("ping", enabled=False)
    code, out, err = schedules("run", "ping", "--reason", "to see")
    job = Job.objects.get()
    assert (code, out) == (0, f"{job.pk}\n")
    assert f"python3 manage.py jobs wait {job.pk}" in err
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.action, entry.detail["reason"]) == ("manage.py jobs schedules run", "run", "to see")


def test_a_run_that_can_not_be_is_refused() -> None:
    task = make_schedule("ping")
    PeriodicTask.objects.filter(pk=task.pk).update(task="gone")
    code, out, err = schedules("run", task.pk)
    assert (code, out) == (4, "")
    assert "Unknown task 'gone'" in err
    assert not Job.objects.exists()


def test_pause_and_resume() -> None:
    task = make_schedule("ping")
    code, out, _ = schedules("pause", "ping", "--reason", "SMTP is down", "--until", "2h")
    assert (code, out.startswith(f"Schedule {task.pk} (ping) is paused until ")) == (0, True)
    found = companion(task)
    assert (found.paused_reason, found.paused_by) == ("SMTP is down", "manage.py jobs schedules pause")
    assert timedelta(minutes=119) < found.paused_until - clock() <= timedelta(hours=2)
    assert "SMTP is down" in schedules("show", task.pk)[1]
    code, out, _ = schedules("resume", task.pk)
    assert code == 0
    assert out.startswith(f"Schedule {task.pk} (ping) is not paused any more; its next run is at ")
    code, _, err = schedules("resume", task.pk)
    assert (code, err) == (4, f"Schedule {task.pk} (ping) is not paused.\n")
    assert schedules("pause", task.pk)[1] == (
        f"Schedule {task.pk} (ping) is paused; resume it: python3 manage.py jobs schedules resume {task.pk}\n"
    )


@pytest.mark.parametrize("until", ["2020-01-01", "999999999d"])
def test_an_end_that_can_not_be_is_refused(until: str) -> None:
    task = make_schedule("ping")
    assert schedules("pause", "ping", "--until", until)[0] == 2
    assert not companion(task).is_paused


class TestBackfill:
    RANGE = ("--from", "2026-01-01T00:00+00:00", "--to", "2026-01-01T03:00+00:00")

    def test_a_dry_run_lists_what_would_run(self) -> None:
        make_schedule("hourly", cron="0 * * * *")
        code, out, _ = schedules("backfill", "hourly", *self.RANGE, "--cap", "3", "--dry-run")
        assert code == 0
        assert out.splitlines() == [
            "2026-01-01 00:00:00",
            "2026-01-01 01:00:00",
            "2026-01-01 02:00:00",
            "4 due, 0 have a run already, 3 would run. Nothing was changed.",
        ]
        assert not Job.objects.exists()
        assert not AuditEntry.objects.exists()

    def test_it_runs_what_has_no_run(self) -> None:
        make_schedule("hourly", cron="0 * * * *")
        assert schedules("backfill", "hourly", *self.RANGE, "--cap", "3", "--reason", "outage")[1] == (
            "4 due, 0 have a run already, 3 run now.\n"
        )
        said = json.loads(schedules("backfill", "hourly", *self.RANGE, "--json")[1])
        assert (len(said["existing"]), len(said["job_ids"]), said["dry_run"]) == (3, 1, False)
        assert Job.objects.count() == 4
        assert AuditEntry.objects.order_by("id").first().actor == "manage.py jobs schedules backfill"

    def test_a_span_counts_back_from_now(self) -> None:
        make_schedule("hourly", cron="0 * * * *")
        said = json.loads(schedules("backfill", "hourly", "--from", "5h", "--dry-run", "--json")[1])
        assert len(said["would_run"]) == 5

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            (("--from", "1h", "--to", "2h"), "can't be"),
            (("--from", "2100-01-01"), "can't be"),
            (("--from", "1h", "--cap", "0"), "Expected 1 to 10,000"),
            (("--from", "999999999d"), "before the year 1"),
        ],
    )
    def test_a_range_that_can_not_be_is_refused(self, given: Any, says: str) -> None:
        make_schedule("hourly", cron="0 * * * *")
        code, _, err = schedules("backfill", "hourly", *given)
        assert code == 2
        assert says in err
        assert not Job.objects.exists()


@pytest.mark.parametrize(
    "arguments",
    [("show",), ("run",), ("pause",), ("resume",), ("backfill", "--from", "1h")],
    ids=lambda words: words[0],
)
def test_a_schedule_that_is_not_there_ends_with_3(arguments: tuple[str, ...]) -> None:
    verb, *rest = arguments
    code, out, err = schedules(verb, "nope", *rest)
    assert (code, out, err) == (3, "", "There is no schedule 'nope'. It may have been deleted.\n")


def test_wrong_words_are_a_usage_error() -> None:
    for words in (("list", "--nope"), ("pause", "x", "--until", "soon"), ("backfill", "x"), ()):
        with pytest.raises(CommandError):
            call_command("jobs", "schedules", *words)


def test_without_its_database_it_ends_with_6() -> None:
    def away(*_: Any) -> None:
        raise OperationalError from psycopg.OperationalError("connection refused")

    with connection.execute_wrapper(away):
        code, _, err = schedules("list")
    assert (code, "Cannot reach the database: connection refused" in err) == (6, True)
