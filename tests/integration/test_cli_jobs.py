"""`manage.py jobs`: run, wait, show, retry, and their exit codes."""

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from jobs.engine.dispatch import LOCK_FAMILY
from jobs.engine.sql import statement
from jobs.management.following import display, follow, sentence
from jobs.models import AuditEntry, Job
from tests.support import tasks  # noqa: F401  registers them
from tests.support.rows import make_attempt, make_job, make_worker, state_of

ADD = "tests.support.tasks.add"

pytestmark = pytest.mark.django_db


def jobs(*arguments: Any, stderr: io.StringIO | None = None) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    out, err = io.StringIO(), stderr or io.StringIO()
    try:
        call_command("jobs", *map(str, arguments), stdout=out, stderr=err)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def only_job() -> Job:
    return Job.objects.get()


def change(job_id: UUID, **columns: Any) -> None:
    with connection.cursor() as cursor:
        for name, value in columns.items():
            cursor.execute(f"UPDATE jobs_job SET {name} = %s WHERE id = %s", [value, job_id])


def in_turn(*changes: Callable[[], None]) -> Callable[[float], None]:
    """A sleep during which the next change happens."""
    left = iter(changes)
    return lambda seconds: next(left)()


# --- run ---


def test_run_submits_the_job_as_it_was_asked_for():
    given = ("--args", "[1]", "--kwargs", '{"y": 2}', "--queue", "mail", "--priority", "high", "--timeout", "0")
    jobs("run", ADD, *given)
    job = only_job()
    assert (job.task, job.args, job.kwargs, job.queue, job.priority) == (ADD, "[1]", '{"y": 2}', "mail", 20)
    assert job.created_by == "manage.py jobs run"


def test_run_takes_a_negative_priority():
    jobs("run", ADD, "--args", "[1, 2]", "--priority=-5", "--timeout", "0")
    assert only_job().priority == -5


def test_when_the_timeout_passes_the_job_goes_on_and_the_exit_code_is_7():
    code, out, err = jobs("run", ADD, "--args", "[1, 2]", "--timeout", "0")
    assert (code, out) == (7, "")
    assert f"python3 manage.py jobs wait {only_job().pk}" in err
    assert only_job().state == "pending"


def test_run_says_at_once_that_no_dispatcher_is_there():
    *_, err = jobs("run", ADD, "--args", "[1, 2]", "--timeout", "0")
    assert "waiting: no dispatcher is running: start `python3 manage.py dispatch`" in err


class Interrupted(io.StringIO):
    """A terminal at which somebody presses Ctrl-C as soon as the job waits."""

    def write(self, text: str) -> int:
        if "waiting" in text:
            raise KeyboardInterrupt
        return super().write(text)


def test_ctrl_c_leaves_the_job_alone_and_the_exit_code_is_130():
    code, _, err = jobs("run", ADD, "--args", "[1, 2]", stderr=Interrupted())
    assert code == 130
    assert f"the job goes on. Look at it: python3 manage.py jobs wait {only_job().pk}" in err
    assert only_job().state == "pending"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((ADD[:-1],), f"Did you mean '{ADD}'?"),
        (("jobs.run",), "Unknown task 'jobs.run'"),
        ((ADD,), "missing a required argument: 'x'"),
        ((ADD, "--args", "[1, 2, 3]"), "too many positional arguments"),
        ((ADD, "--kwargs", '{"x": 1, "y": 2, "z": 3}'), "unexpected keyword argument 'z'"),
        ((ADD, "--args", "[1, 2]", "--priority", "urgent"), "low, normal, high, critical"),
        ((ADD, "--args", "[1, NaN]"), "can't be written as JSON"),
    ],
)
def test_a_call_that_is_no_job_ends_with_2_and_says_why(arguments, says):
    code, out, err = jobs("run", *arguments)
    assert (code, out) == (2, "")
    assert says in err
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    "arguments",
    [("--args", "{"), ("--args", "{}"), ("--kwargs", "[]"), ("--args", "[" * 100_000), ("--timeout", "soon"),
     ("--timeout", "-1"), ("--timeout", "nan")],
)  # fmt: skip
def test_arguments_that_can_not_be_read_are_a_usage_error(arguments):
    with pytest.raises(CommandError, match=f"argument {arguments[0]}"):
        call_command("jobs", "run", ADD, *arguments)
    assert not Job.objects.exists()


# --- the end ---


def test_a_result_is_printed_as_json_and_nothing_else():
    job_id = make_job(state="completed", result={"é": [1, None]})
    code, out, _ = jobs("wait", job_id)
    assert (code, json.loads(out)) == (0, {"é": [1, None]})


def test_no_result_is_null():
    assert jobs("wait", make_job(state="completed", result=None))[:2] == (0, "null\n")


@pytest.mark.parametrize("state", ["failed", "dead_letter", "expired", "cancelled"])
def test_a_job_that_failed_ends_with_1_and_says_what_to_do(state):
    job_id = make_job(state=state, error="ValueError: no luck")
    make_attempt(job_id, number=1, end="retried", error="ValueError: first")
    make_attempt(job_id, number=2, error="ValueError: no luck")
    make_attempt(job_id, number=3, epoch=2, error="ValueError: another life")
    code, out, err = jobs("wait", job_id)
    assert (code, out) == (1, "")
    assert "attempt 1 on worker@test: retried: ValueError: first" in err
    assert f"The job is {state}: ValueError: no luck" in err
    assert f"jobs show {job_id}" in err
    assert f"jobs retry {job_id}" in err
    assert "another life" not in err


@pytest.mark.parametrize("verb", ["wait", "show", "retry", "cancel"])
def test_a_job_that_is_not_there_ends_with_3(verb):
    code, out, err = jobs(verb, uuid4())
    assert (code, out) == (3, "")
    assert "No job" in err


def test_show_prints_the_job_with_its_attempts():
    job_id = make_job(state="dead_letter", error="ValueError: no luck")
    make_attempt(job_id, error="ValueError: no luck")
    found = json.loads(jobs("show", job_id)[1])
    assert (found["id"], found["state"], found["error"]) == (str(job_id), "dead_letter", "ValueError: no luck")
    assert [(attempt["number"], attempt["end"]) for attempt in found["history"]] == [(1, "failed")]


def test_retry_runs_a_dead_letter_again_and_is_audited():
    job_id = make_job(state="dead_letter", attempt=4)
    assert jobs("retry", job_id)[0] == 0
    assert (only_job().state, only_job().epoch, only_job().attempt) == ("pending", 2, 0)
    assert AuditEntry.objects.get().actor == "manage.py jobs retry"


@pytest.mark.parametrize(
    ("state", "code", "said"),
    [
        ("pending", 0, "is cancelled"),
        ("running", 0, "was asked to stop"),
        ("completed", 4, "is completed: there is nothing left to cancel"),
    ],
)
def test_cancel_says_what_it_did(state, code, said):
    job_id = make_job(state=state)
    found, out, err = jobs("cancel", job_id)
    assert found == code
    assert said in out + err
    assert only_job().state == ("cancelled" if state == "pending" else state)


def test_retry_names_the_job_that_holds_the_key():
    job_id = make_job(state="dead_letter", given_key="k")
    holder = make_job(unique_key="k")
    code, _, err = jobs("retry", job_id)
    assert (code, state_of(job_id)) == (4, "dead_letter")
    assert f"job {holder}, which is pending, holds its unique key 'k' now. Cancel that one" in err


@pytest.mark.parametrize("state", ["pending", "running", "completed"])
def test_retry_refuses_a_job_that_did_not_fail(state):
    job_id = make_job(state=state)
    code, _, err = jobs("retry", job_id)
    assert (code, only_job().state) == (4, state)
    assert f"is {state}" in err


# --- following ---


def test_following_shows_every_look_until_the_end():
    job_id = make_job(state="running")
    seen: list[str] = []
    job = follow(
        job_id,
        lambda job, text: seen.append(job.state),
        sleep=in_turn(
            lambda: change(job_id, progress='{"current": 1}'),
            lambda: change_state(job_id, "completed"),
        ),
    )
    assert (job.state, seen) == ("completed", ["running", "running", "completed"])


def change_state(job_id: UUID, state: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE jobs_job SET state = %s, lease = NULL, finished_at = now() WHERE id = %s", [state, job_id]
        )


def test_following_looks_between_twenty_and_two_times_a_second_and_stops_in_time():
    now, pauses = [0.0], list[float]()

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    job = follow(make_job(), lambda job, text: None, timeout=10, sleep=sleep, clock=lambda: now[0])
    assert job.state == "pending"
    assert (pauses[0], max(pauses), round(sum(pauses), 6)) == (0.05, 0.5, 10)


def test_elsewhere_than_on_a_terminal_each_change_is_one_line():
    out = io.StringIO()
    job = Job(state="running")
    with display(out) as show:
        for text in ("a", "a", "b", "a"):
            show(job, text)
    assert out.getvalue() == "a\nb\na\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_a_bar_that_leaves_no_markup_to_the_job():
    out = Terminal()
    with display(out) as show:
        show(Job(state="running", progress={"current": 1, "total": 2}), "running [/red] on x")
    assert "running [/red] on x" in out.getvalue()


# --- sentences ---


def said(**columns: Any) -> str:
    return sentence(Job.objects.get(pk=make_job(**columns)))


def test_a_retrying_job_says_why_and_when_it_runs_again():
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    text = said(state="retrying", attempt=2, error="ValueError: no", updated_at=now, run_at=now + timedelta(seconds=90))
    assert text == "attempt 2 failed: ValueError: no; next attempt 90 s later, at 12:01:30 UTC"


def test_a_running_job_says_how_far_it_is():
    progress = {"current": 1, "total": 4, "percentage": 25.0, "message": "reading"}
    assert said(state="running", progress=progress) == "running on worker@test: 25 % reading"
    assert said(state="running", progress={"current": 1}) == "running on worker@test"
    assert said(state="running", progress={"state": "HALF", "meta": 1}) == "running on worker@test"


def test_a_scheduled_job_says_when():
    assert said(state="scheduled", run_at=datetime(2030, 1, 2, tzinfo=UTC)) == "scheduled for 2030-01-02 00:00:00 UTC"


def test_a_waiting_job_says_which_process_is_missing():
    assert "no dispatcher is running" in said(queue="mail")
    with connection.cursor() as cursor:
        cursor.execute(statement("lead"), {"family": LOCK_FAMILY, "key": 1})
        try:
            assert "no live worker serves queue mail" in said(queue="mail")
            make_worker(queues=["mail"])
            assert said(queue="mail") == "pending in queue mail"
            assert said(queue="mail", state="dispatched") == "dispatched in queue mail"
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s, 1)", [LOCK_FAMILY])
