"""One form for a schedule: what it writes, what it shows before, and what it refuses where."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    PeriodicTasks,
    SolarSchedule,
)

from jobs.models import AuditEntry, Job
from schedules.code import POLICY
from tests.support.admin import text
from tests.support.schedule_admin import ADD, problems, send, url_of
from tests.support.schedules import companion, make_due, make_schedule, tick

pytestmark = pytest.mark.django_db

AGAIN = {
    "@daily": "0 0 * * *",
    "@every 90s": "@every 1m30s",
    "@at 2099-12-24T18:00": "@at 2099-12-24T17:00+00:00",
}
FAR = datetime(2100, 1, 1, tzinfo=UTC)


def saved(client: Client, url: str = ADD, **changes: str) -> PeriodicTask:
    answer = send(client, url, **changes)
    assert answer.status_code == 302, problems(answer)
    return PeriodicTask.objects.get(name=changes.get("name", "nightly"))


def test_one_form_writes_the_task_its_times_and_its_policies(superuser: Client) -> None:
    task = saved(
        superuser,
        queue="reports",
        priority="-7",
        overlap="queue_one",
        misfire="run_all",
        misfire_cap="12",
        spread="10m",
        window="1h30m",
        jitter="90",
        timeout="2m",
        max_retries="4",
        expires_after="30m",
        unique_key="report",
        tags='{"team": "mail"}',
        max_runs="9",
        pause_after_failures="3",
    )
    cron = task.crontab
    assert (cron.minute, cron.hour, cron.day_of_week, str(cron.timezone)) == ("0", "2", "mon-fri", "Europe/Berlin")
    assert (task.task, task.args, task.queue, task.enabled) == ("tests.support.tasks.add", "[1, 2]", "reports", True)
    policy = companion(task)
    assert (policy.overlap, policy.misfire, policy.misfire_cap, policy.priority) == ("queue_one", "run_all", 12, -7)
    assert (policy.spread, policy.window, policy.jitter) == (600, 5400, 90)
    assert (policy.timeout, policy.max_retries, policy.expires_after) == (120, 4, 1800)
    assert (policy.unique_key, policy.tags) == ("report", {"team": "mail"})
    assert (policy.max_runs, policy.pause_after_failures) == (9, 3)
    entry = AuditEntry.objects.get(action="create")
    assert (entry.resource_type, entry.resource_id, entry.ip) == ("schedule", str(task.pk), "127.0.0.1")
    assert entry.detail["when"] == "0 2 * * mon-fri"


@pytest.mark.parametrize(
    ("when", "model", "columns"),
    [
        ("@daily", CrontabSchedule, {"minute": "0", "hour": "0"}),
        ("@every 90s", IntervalSchedule, {"every": 90, "period": "seconds"}),
        ("@every 2h", IntervalSchedule, {"every": 2, "period": "hours"}),
        ("@at 2099-12-24T18:00", ClockedSchedule, {"clocked_time": datetime(2099, 12, 24, 17, tzinfo=UTC)}),
        ("@solar sunrise 52.5 13.4", SolarSchedule, {"event": "sunrise"}),
    ],
)
def test_every_kind_is_one_text_that_its_page_shows_again(
    superuser: Client, when: str, model: Any, columns: dict[str, Any]
) -> None:
    if model is SolarSchedule:
        pytest.importorskip("ephem")
    task = saved(superuser, when=when)
    assert model.objects.filter(**columns).exists()
    assert task.one_off == (model is ClockedSchedule)
    shown = superuser.get(url_of(task)).context["adminform"].form.initial["when"]
    assert shown == AGAIN.get(when, when)


def test_schedules_of_the_same_times_share_their_row(superuser: Client) -> None:
    first, second = saved(superuser), saved(superuser, name="other")
    assert first.crontab_id == second.crontab_id
    saved(superuser, url_of(second), name="other", when="5 2 * * *")
    assert PeriodicTask.objects.get(name="nightly").crontab.minute == "0"


def test_a_saved_edit_gives_the_schedule_a_new_next_run(superuser: Client) -> None:
    task = saved(superuser)
    companion(task, next_run_at=FAR)
    before = PeriodicTasks.objects.get().last_update
    saved(superuser, url_of(task), when="0 3 * * *")
    assert companion(task).next_run_at is None
    assert PeriodicTasks.objects.get().last_update > before
    assert AuditEntry.objects.get(action="change").detail["when"] == {"from": "0 2 * * mon-fri", "to": "0 3 * * *"}


def test_an_edit_of_anything_else_leaves_the_times_alone(superuser: Client) -> None:
    task = make_schedule("nightly", every=120, policy={"anchor_at": datetime(2026, 1, 1, tzinfo=UTC)})
    row = task.interval_id
    saved(superuser, url_of(task), when="@every 2m", zone="UTC", task=task.task, args="[]", description="why")
    task.refresh_from_db()
    assert (task.interval_id, task.description) == (row, "why")
    assert companion(task).anchor_at == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_cron_that_runs_once_stays_so(superuser: Client) -> None:
    task = saved(superuser, one_off="on")
    saved(superuser, url_of(task), one_off="on", when="0 4 * * *")
    task.refresh_from_db()
    assert (task.one_off, task.crontab.hour) == (True, "4")


def test_beats_own_priority_and_expiry_become_policies(superuser: Client) -> None:
    task = make_schedule("nightly", cron="0 2 * * *", priority=9, expire_seconds=60)
    initial = superuser.get(url_of(task)).context["adminform"].form.initial
    assert (initial["priority"], initial["expires_after"]) == (9, 60)
    saved(superuser, url_of(task), priority="", expires_after="")
    task.refresh_from_db()
    assert (task.priority, task.expire_seconds, companion(task).priority) == (None, None, None)


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"when": "0 25 * * *"}, "when", "Invalid hour '25'"),
        ({"when": "0 0 31 2 *"}, "when", "Never due"),
        ({"when": "0 0 * *"}, "when", "of 4 fields"),
        ({"when": "@dayly"}, "when", "Did you mean '@daily'?"),
        ({"when": "@every 1.5h"}, "when", "Expected whole numbers"),
        ({"when": "@at yesterday"}, "when", "ISO 8601"),
        ({"when": "@at 2020-01-01T00:00"}, "when", "has passed"),
        ({"when": "@solar sunrise"}, "when", "as '@solar sunrise 52.52 13.41'"),
        ({"when": "@solar moonrise 1 1"}, "when", "Unknown event"),
        ({"when": ""}, "when", "required"),
        ({"zone": "Europe/Belrin"}, "zone", "Did you mean 'Europe/Berlin'?"),
        ({"zone": "../etc/passwd"}, "zone", "Unknown time zone"),
        ({"task": "jobs.run"}, "task", "jobs.run"),
        ({"task": "celery.backend_cleanup"}, "task", "celery.backend_cleanup"),
        ({"args": "[1"}, "args", "This is no JSON"),
        ({"args": "{}"}, "args", "Expected a JSON array"),
        ({"args": "[1, 2, 3]"}, "args", "too many positional arguments"),
        ({"args": "[]"}, "args", "missing a required argument"),
        ({"kwargs": "[]"}, "kwargs", "Expected a JSON object"),
        ({"kwargs": '{"z": 1}'}, "kwargs", "unexpected keyword argument 'z'"),
        ({"args": '[1, "\\ud800"]'}, "args", "surrogate"),
        ({"priority": "101"}, "priority", "less than or equal to 100"),
        ({"priority": "-101"}, "priority", "greater than or equal to -100"),
        ({"overlap": "both"}, "overlap", "valid choice"),
        ({"misfire_cap": "0"}, "misfire_cap", "greater than or equal to 1"),
        ({"window": "soon"}, "window", "is no span of time"),
        ({"jitter": "-1"}, "jitter", "greater than or equal to 0"),
        ({"timeout": "0"}, "timeout", "greater than or equal to"),
        ({"tags": '{"a": 1}'}, "tags", "strings to strings"),
        ({"tags": "{"}, "tags", "valid JSON"),
        ({"unique_key": "x" * 501}, "unique_key", "at most 500"),
        ({"queue": "x" * 201}, "queue", "at most 200"),
        (
            {"start_time": "2099-01-02T00:00", "expires": "2099-01-01T00:00"},
            "expires",
            "end before it starts",
        ),
        ({"expires": "2020-01-01T00:00"}, "expires", "Nothing would be due"),
    ],
)
def test_bad_input_gets_a_sentence_at_its_field(
    superuser: Client, changes: dict[str, str], field: str, sentence: str
) -> None:
    if "@solar moonrise" in changes.get("when", ""):
        pytest.importorskip("ephem")
    found = problems(send(superuser, **changes))
    assert list(found) == [field]
    assert sentence in " ".join(found[field])
    assert not PeriodicTask.objects.filter(name="nightly").exists()


def test_a_name_is_taken_once(superuser: Client) -> None:
    saved(superuser)
    assert "already exists" in problems(send(superuser))["name"][0]


def test_a_failed_save_leaves_nothing_behind(superuser: Client) -> None:
    send(superuser, when="7 7 * * *", args="[]")
    assert not CrontabSchedule.objects.filter(minute="7").exists()


def test_the_tasks_to_choose_from_are_the_tracked_ones_with_their_signatures(superuser: Client) -> None:
    choices = dict(superuser.get(ADD).context["adminform"].form.fields["task"].choices)
    assert choices["tests.support.tasks.add"].startswith("tests.support.tasks.add (x")
    assert not {"jobs.run", "jobs.errbacks", "celery.backend_cleanup"} & set(choices)
    assert "tests.support.async_tasks.untracked" not in choices


def test_a_new_form_begins_with_the_policies_that_a_schedule_has_by_itself(superuser: Client) -> None:
    form = superuser.get(ADD).context["adminform"].form
    begins = {name: form[name].value() for name in POLICY}
    made = companion(make_schedule())
    for name in POLICY:
        if getattr(made, name) not in (None, ""):
            assert form.fields[name].clean(begins[name]) == getattr(made, name), name
    assert (form["zone"].value(), form["tags"].value()) == ("UTC", "")


def test_a_preview_shows_the_next_ten_runs_and_saves_nothing(superuser: Client) -> None:
    answer = send(superuser, when="30 2 * * *", _preview="Preview")
    assert answer.status_code == 200
    assert not PeriodicTask.objects.filter(name="nightly").exists()
    assert not CrontabSchedule.objects.filter(minute="30", hour="2").exists()
    page = answer.content.decode()
    found = answer.context["preview"]
    assert len(found.dues) == 10
    assert found.words == "At 02:30 (Europe/Berlin)."
    assert found.words in page
    assert found.dues[0].local in page
    assert found.dues[0].utc.endswith("UTC")
    assert 'value="30 2 * * *"' in page, "what was typed is still there"
    assert "errornote" not in page


def test_a_preview_says_where_the_clock_changes(superuser: Client) -> None:
    gap = {"start_time": "2027-03-27T00:00"}
    dues = send(superuser, when="30 2 * * *", **gap, _preview="1").context["preview"].dues
    assert [(due.local, due.met.partition(":")[0]) for due in dues if due.met] == [
        ("Sun 2027-03-28 03:00:00 CEST", "the clock skips ahead")
    ]
    overlap = {"start_time": "2027-10-30T00:00"}
    dues = send(superuser, when="30 2 * * *", **overlap, _preview="1").context["preview"].dues
    assert [(due.local, due.utc) for due in dues if due.met] == [
        ("Sun 2027-10-31 02:30:00 CEST", "Sun 2027-10-31 00:30:00 UTC")
    ]


def test_a_preview_warns_of_the_next_change_of_the_clock(superuser: Client) -> None:
    found = send(superuser, when="30 2 1-31 3 *", _preview="1", start_time="2027-03-01T00:00")
    assert found.context["preview"].warning.startswith("Sun 2027-03-28 03:00:00 CEST: the clock skips ahead")
    assert send(superuser, when="30 12 * * *", _preview="1").context["preview"].warning == ""


def test_a_preview_of_a_bad_form_says_what_is_wrong(superuser: Client) -> None:
    answer = send(superuser, when="nonsense", _preview="1")
    assert answer.context["preview"] is None
    assert "of 1 field" in problems(answer)["when"][0]
    assert len(send(superuser, args="[]", _preview="1").context["preview"].dues) == 10


def test_the_live_preview_is_the_same_part_of_the_page(superuser: Client, viewer: Client) -> None:
    url = reverse("admin:django_celery_beat_periodictask_preview_new")
    answer = send(superuser, url, when="30 2 * * *", name="", args="[]")
    page = answer.content.decode()
    assert "At 02:30 (Europe/Berlin)." in page
    assert "name: This field is required." in page
    assert "<html" not in page
    assert send(viewer, url).status_code == 403
    assert superuser.get(url).status_code == 403
    assert not PeriodicTask.objects.filter(name="nightly").exists()


def test_the_preview_of_an_edited_interval_counts_from_its_own_anchor(superuser: Client) -> None:
    task = make_schedule("nightly", every=3600, policy={"anchor_at": datetime(2026, 1, 1, 0, 17, 5, tzinfo=UTC)})
    url = url_of(task, "preview")
    answer = send(superuser, url, when="@every 2h", zone="UTC", task=task.task, args="[]")
    assert ":17:05 UTC" in answer.context["preview"].dues[0].utc


def test_a_page_shows_the_next_runs_of_what_is_saved(superuser: Client) -> None:
    task = saved(superuser)
    assert len(superuser.get(url_of(task)).context["preview"].dues) == 10
    assert "At 02:00, Monday through Friday (Europe/Berlin)" in text(superuser, url_of(task))


def test_what_code_declares_is_read_only_and_says_so(superuser: Client) -> None:
    task = make_schedule("nightly", cron="0 2 * * *", policy={"managed_by": "code", "editable": False})
    page = text(superuser, url_of(task))
    assert "declared in code" in page
    assert 'name="when"' not in page
    assert "0 2 * * *" in page
    assert send(superuser, url_of(task)).status_code == 403
    assert superuser.post(url_of(task, "delete"), {"post": "yes"}).status_code == 403
    companion(task, editable=True)
    assert 'name="when"' in text(superuser, url_of(task))
    saved(superuser, url_of(task), when="0 5 * * *")


def test_a_schedule_that_can_not_be_is_shown_with_the_reason(superuser: Client) -> None:
    task = make_schedule("nightly", cron="0 2 * * *")
    CrontabSchedule.objects.filter(pk=task.crontab_id).update(hour="77")
    assert "Invalid hour" in text(superuser, url_of(task))
    saved(superuser, url_of(task))
    assert PeriodicTask.objects.get(pk=task.pk).crontab.hour == "2"


def test_a_copy_is_saved_under_another_name(superuser: Client) -> None:
    task = saved(superuser, overlap="skip")
    send(superuser, url_of(task), name="copy", overlap="skip", _saveasnew="1")
    assert companion(PeriodicTask.objects.get(name="copy")).overlap == "skip"
    assert PeriodicTask.objects.filter(name="nightly").exists()


def test_the_beat_makes_the_job_that_the_form_describes(superuser: Client) -> None:
    task = saved(superuser, when="@every 60s", priority="33", tags='{"a": "b"}', queue="mail")
    make_due(task)
    tick()
    job = Job.objects.get()
    assert (job.task, job.priority, job.queue, job.args) == ("tests.support.tasks.add", 33, "mail", "[1, 2]")
    assert job.tags == {"a": "b"}


def test_a_priority_of_its_own_goes_before_beats(superuser: Client) -> None:
    task = make_schedule("nightly", cron="0 2 * * *", priority=9, policy={"priority": -20})
    assert superuser.get(url_of(task)).context["adminform"].form.initial["priority"] == -20


def test_the_rows_of_times_are_to_look_at(superuser: Client) -> None:
    saved(superuser)
    url = reverse("admin:django_celery_beat_crontabschedule_changelist")
    assert superuser.get(url).status_code == 200
    assert superuser.get(reverse("admin:django_celery_beat_crontabschedule_add")).status_code == 403
