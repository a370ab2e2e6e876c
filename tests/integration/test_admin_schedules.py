"""Schedules in the admin: what the list and the pages show, and what people may do."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import PeriodicTask

from jobs.models import AuditEntry, Job
from schedules.models import Beat, Occurrence
from schedules.states import Decided, Kind
from tests.support.admin import VIEWER, select, signed_in, text
from tests.support.rows import make_job
from tests.support.schedule_admin import ADD, LIST, press, send, url_of
from tests.support.schedules import clock, companion, make_schedule, tick

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
SIGNS = "<script>alert(1)</script>"


@pytest.fixture
def task() -> PeriodicTask:
    """Every hour, and not yet due."""
    made = make_schedule("hourly", cron="0 * * * *", task="tests.support.tasks.add", args="[1, 2]")
    tick()
    return made


@pytest.fixture
def scheduler_of(db: None) -> Client:
    """A viewer with all of a schedule's own permissions."""
    return signed_in(*VIEWER, "run_schedule", "pause_schedule", "backfill_schedule", "change_periodictask")


def past(task: PeriodicTask, *states: str | None, **columns: Any) -> list[Occurrence]:
    """Runs of past hours, the first of them the oldest, with jobs in these states; None: it was skipped."""
    start = clock().replace(minute=0, second=0, microsecond=0) - len(states) * HOUR
    found = []
    for number, state in enumerate(states):
        due = start + number * HOUR
        job = make_job(state=state, error="ValueError: no luck" if state == "failed" else None) if state else None
        decided = Decided.FIRED if state else Decided.SKIPPED
        row = {"due_at": due, "decided_at": due + timedelta(seconds=2), "kind": Kind.SCHEDULE, **columns}
        found.append(Occurrence.objects.create(schedule_id=task.pk, state=decided, job_id=job, **row))
    return found


def rows(client: Client, **filters: str) -> list[str]:
    return [task.name for task in client.get(LIST, filters).context["cl"].result_list]


def test_the_list_says_how_each_stands(viewer: Client, task: PeriodicTask) -> None:
    runs = past(task, "completed", None, "failed")
    page = text(viewer, LIST)
    assert "Every hour" in page
    assert "<code>0 * * * *</code> UTC" in page
    assert page.count("sched-bar ") == 3
    assert 'aria-label="The latest 3: 1 failed, 1 skipped, 1 completed"' in page
    assert "failed: ValueError: no luck" in page
    assert reverse("admin:jobs_job_change", args=[runs[2].job_id]) in page
    assert "last run failed" in page
    assert "in " in page


def test_the_list_shows_who_paused_why_and_until_when(viewer: Client, task: PeriodicTask) -> None:
    until = clock() + 5 * HOUR
    companion(task, paused_at=clock(), paused_by="bob", paused_reason="disk full", paused_until=until)
    page = text(viewer, LIST)
    assert "paused</span> by bob: disk full, until <time" in page


@pytest.mark.parametrize("count", [1, 60])
def test_the_list_takes_as_many_queries_for_one_schedule_as_for_many(
    viewer: Client, count: int, django_assert_num_queries: Any
) -> None:
    for number in range(count):
        past(make_schedule(f"n{number:03}", cron=f"{number % 60} * * * *"), "completed", "failed", None)
    with django_assert_num_queries(10):
        viewer.get(LIST)


def test_ten_thousand_schedules_are_listed_by_the_page(viewer: Client, django_assert_num_queries: Any) -> None:
    PeriodicTask.objects.all().delete()
    every = make_schedule("first").interval_id
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO django_celery_beat_periodictask (name, task, args, kwargs, headers, interval_id, enabled, "
            "one_off, total_run_count, date_changed, description) SELECT 'many' || n, 't', '[]', '{}', '{}', %s, true, "
            "false, 0, now(), '' FROM generate_series(1, 10000) AS n",
            [every],
        )
        cursor.execute(
            "INSERT INTO schedules_occurrence (schedule_id, due_at, kind, state) "
            "SELECT id, now() - interval '1 h' * n, 'schedule', 'skipped' "
            "FROM django_celery_beat_periodictask, generate_series(1, 3) AS n"
        )
        cursor.execute("ANALYZE schedules_occurrence; ANALYZE django_celery_beat_periodictask")
    with django_assert_num_queries(10):
        listed = viewer.get(LIST).context["cl"]
    assert (len(listed.result_list), listed.result_count) == (50, 10_001)
    with django_assert_num_queries(10):
        assert viewer.get(LIST, {"health": "never"}).context["cl"].result_count == 10_001


def test_filters_find_schedules(viewer: Client, task: PeriodicTask) -> None:
    PeriodicTask.objects.exclude(pk=task.pk).delete()
    off = make_schedule("off", cron="1 * * * *", enabled=False, queue="mail")
    late = make_schedule("late", cron="2 * * * *")
    tick()
    companion(late, next_run_at=clock() - HOUR)
    broken = make_schedule("broken", cron="3 * * * *", policy={"error": "no luck", "managed_by": "code"})
    paused = make_schedule("paused", cron="4 * * * *", policy={"paused_at": clock(), "paused_by": "bob"})
    past(task, "completed", "failed")
    past(paused, "failed", "completed")
    assert rows(viewer, enabled="no") == ["off"]
    assert rows(viewer, paused="yes") == ["paused"]
    assert rows(viewer, health="late") == ["late"]
    assert rows(viewer, health="failing") == ["hourly"]
    assert rows(viewer, health="error") == ["broken"]
    assert rows(viewer, health="never") == ["broken", "late", "off"]
    assert rows(viewer, owner="code") == ["broken"]
    assert rows(viewer, queue="mail") == ["off"]
    assert rows(viewer, task="tests.support.tasks.add") == ["hourly"]
    assert rows(viewer, q="our") == ["hourly"]
    assert {off.name, broken.name} <= set(rows(viewer))
    assert "late: 1 h" in text(viewer, LIST)
    assert "in error: no luck" in text(viewer, LIST)


def test_the_list_says_that_no_beat_is_running(viewer: Client) -> None:
    assert "no beat is running" in text(viewer, LIST)
    Beat.objects.create(name="host:1", skew=3.5)
    page = text(viewer, LIST)
    assert "no beat is running" not in page
    assert "beat host:1 (its clock is off by 3.5 s)" in page


def test_run_now_makes_a_job_at_once_and_an_audit_entry(scheduler_of: Client, task: PeriodicTask) -> None:
    page = press(scheduler_of, task, "run", reason="to see it").content.decode()
    job = Job.objects.get()
    assert (job.task, job.args, job.state) == ("tests.support.tasks.add", "[1, 2]", "pending")
    assert f"job {job.pk}" in page
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.resource_id, entry.ip) == ("run", str(task.pk), "127.0.0.1")
    assert entry.detail["reason"] == "to see it"
    assert entry.actor.startswith("user")
    assert Occurrence.objects.get().kind == Kind.MANUAL
    assert f"manual by {entry.actor}" in page


def test_a_run_that_is_refused_says_why(scheduler_of: Client, task: PeriodicTask) -> None:
    PeriodicTask.objects.filter(pk=task.pk).update(task="gone.away")
    page = press(scheduler_of, task, "run").content.decode()
    assert "It was not run: Unknown task" in page
    assert not Job.objects.exists()
    assert "was not run" in select(scheduler_of, LIST, task.pk, action="run_selected")


def test_pausing_asks_for_a_reason_and_takes_an_end(scheduler_of: Client, task: PeriodicTask) -> None:
    assert "Say why" in press(scheduler_of, task, "pause").content.decode()
    assert (
        "a moment to come" in press(scheduler_of, task, "pause", reason="x", until="2020-01-01T00:00").content.decode()
    )
    assert not companion(task).is_paused
    press(scheduler_of, task, "pause", reason="disk full", until="2099-01-01T10:30")
    now = companion(task)
    assert (now.paused_reason, now.paused_until) == ("disk full", datetime(2099, 1, 1, 10, 30, tzinfo=UTC))
    page = press(scheduler_of, task, "resume").content.decode()
    assert "Resumed." in page
    assert not companion(task).is_paused
    assert list(AuditEntry.objects.order_by("id").values_list("action", flat=True)) == ["pause", "resume"]


def test_a_page_enables_and_disables(scheduler_of: Client, task: PeriodicTask) -> None:
    assert "Disabled." in press(scheduler_of, task, "disable").content.decode()
    assert not PeriodicTask.objects.get(pk=task.pk).enabled
    assert "Enabled." in press(scheduler_of, task, "enable").content.decode()
    assert "stood so already" in press(scheduler_of, task, "enable").content.decode()
    assert companion(task).active


def test_selected_schedules_are_run_paused_resumed_and_switched(scheduler_of: Client, task: PeriodicTask) -> None:
    other = make_schedule("other", cron="5 * * * *")
    both = (task.pk, other.pk)
    assert "Started 2 runs." in select(scheduler_of, LIST, *both, action="run_selected")
    asked = select(scheduler_of, LIST, *both, action="pause_selected")
    assert "2 schedules would make no jobs" in asked
    assert not companion(task).is_paused
    assert "Say why" in select(scheduler_of, LIST, *both, action="pause_selected", confirmed="1")
    done = select(scheduler_of, LIST, *both, action="pause_selected", confirmed="1", reason="deploy")
    assert "Paused 2 schedules." in done
    assert companion(other).paused_reason == "deploy"
    assert "Resumed 2 schedules." in select(scheduler_of, LIST, *both, action="resume_selected")
    assert "Disabled 2 schedules." in select(scheduler_of, LIST, *both, action="disable_selected")
    assert "Enabled 2 schedules." in select(scheduler_of, LIST, *both, action="enable_selected")
    assert AuditEntry.objects.count() == 10


def test_what_code_declares_is_not_switched_from_here(superuser: Client, task: PeriodicTask) -> None:
    companion(task, managed_by="code", editable=False)
    assert "Left as they are: hourly" in select(superuser, LIST, task.pk, action="disable_selected")
    assert "changed in the code" in press(superuser, task, "disable").content.decode()
    assert PeriodicTask.objects.get(pk=task.pk).enabled
    select(superuser, LIST, task.pk, action="delete_selected", post="yes")
    assert PeriodicTask.objects.filter(pk=task.pk).exists()
    assert "Paused." in press(superuser, task, "pause", reason="x").content.decode()


def test_deleting_is_audited_and_takes_the_history_along(superuser: Client, task: PeriodicTask) -> None:
    other = make_schedule("other", cron="5 * * * *")
    past(task, "completed")
    superuser.post(url_of(task, "delete"), {"post": "yes"})
    select(superuser, LIST, other.pk, action="delete_selected", post="yes")
    assert not PeriodicTask.objects.filter(pk__in=[task.pk, other.pk]).exists()
    assert not Occurrence.objects.exists()
    assert list(AuditEntry.objects.order_by("id").values_list("action", "resource_id")) == [
        ("delete", str(task.pk)),
        ("delete", str(other.pk)),
    ]


RIGHTS = {
    "run": "run_schedule",
    "pause": "pause_schedule",
    "resume": "pause_schedule",
    "enable": "change_periodictask",
    "disable": "change_periodictask",
}


@pytest.mark.parametrize("verb", RIGHTS)
def test_each_button_asks_for_its_own_permission(task: PeriodicTask, verb: str) -> None:
    if verb == "resume":
        companion(task, paused_at=clock(), paused_by="bob")
    if verb == "enable":
        PeriodicTask.objects.filter(pk=task.pk).update(enabled=False)
    others = {"run_schedule", "pause_schedule", "backfill_schedule", "change_periodictask"} - {RIGHTS[verb]}
    without, holder = signed_in("view_periodictask", *others), signed_in("view_periodictask", RIGHTS[verb])
    blind = signed_in(*({RIGHTS[verb]} - {"change_periodictask"}))
    address = url_of(task, "verb", verb)
    before = companion(task), PeriodicTask.objects.get(pk=task.pk).enabled
    for client in (without, blind):
        assert client.post(address, {"reason": "x"}).status_code == 403
    now = companion(task)
    assert (now.paused_at, PeriodicTask.objects.get(pk=task.pk).enabled) == (before[0].paused_at, before[1])
    assert not Job.objects.exists()
    assert not AuditEntry.objects.exists()
    assert address not in text(without, url_of(task))
    assert address in text(holder, url_of(task))
    assert holder.get(address).status_code == 405
    assert holder.post(address, {"reason": "x"}).status_code == 302
    assert AuditEntry.objects.count() == 1


def test_a_viewer_looks_and_does_nothing(viewer: Client, task: PeriodicTask) -> None:
    page, listed = text(viewer, url_of(task)), text(viewer, LIST)
    assert "0 * * * *" in page
    for sign in ("sched-do-", "/backfill/", 'name="when"', 'name="_save"'):
        assert sign not in page
    assert "run_selected" not in listed
    for action in ("run_selected", "pause_selected", "resume_selected", "disable_selected", "delete_selected"):
        select(viewer, LIST, task.pk, action=action, confirmed="1", reason="x", post="yes")
    assert viewer.get(ADD).status_code == 403
    assert send(viewer).status_code == 403
    assert send(viewer, url_of(task)).status_code == 403
    assert viewer.post(url_of(task, "backfill"), {}).status_code == 403
    assert viewer.post(url_of(task, "delete"), {"post": "yes"}).status_code == 403
    assert not Job.objects.exists()
    assert not AuditEntry.objects.exists()
    assert PeriodicTask.objects.get(pk=task.pk).enabled


def test_who_may_not_look_sees_nothing_of_it(task: PeriodicTask) -> None:
    stranger = signed_in("view_job")
    for page in ("change", "runs", "backfill"):
        assert stranger.get(url_of(task, page)).status_code == 403
    assert stranger.get(LIST).status_code == 403


def test_a_forged_request_without_its_token_is_refused(task: PeriodicTask) -> None:
    client = signed_in(superuser=True)
    client.handler.enforce_csrf_checks = True
    assert client.post(url_of(task, "verb", "run")).status_code == 403
    assert not Job.objects.exists()


def test_a_backfill_lists_first_and_runs_what_was_listed(scheduler_of: Client, task: PeriodicTask) -> None:
    now = clock().replace(minute=0, second=0, microsecond=0)
    existing = past(task, "completed")[0].due_at
    asked = {"start": _typed(now - 4 * HOUR), "end": _typed(now - HOUR), "cap": "2", "spread": "0s", "reason": "lost"}
    answer = scheduler_of.post(url_of(task, "backfill"), asked)
    page = answer.content.decode()
    assert [due.becomes for due in answer.context["listed"]] == [
        "would run",
        "would run",
        "not this time: beyond the most",
        "has a run already",
    ]
    assert existing == now - HOUR
    assert "4 due times, 1 with a run already" in page
    assert "Make 2 runs" in page
    assert Job.objects.count() == 1
    confirmed = {**asked, "confirmed": "1", "asked": answer.context["asked"]}
    done = scheduler_of.post(url_of(task, "backfill"), confirmed, follow=True).content.decode()
    assert "Backfill: made 2 runs." in done
    made = Occurrence.objects.filter(kind=Kind.BACKFILL).order_by("due_at")
    assert [one.due_at for one in made] == [now - 4 * HOUR, now - 3 * HOUR]
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.detail["runs"], entry.detail["reason"]) == ("backfill", 2, "lost")


def test_a_backfill_that_was_changed_is_listed_again(scheduler_of: Client, task: PeriodicTask) -> None:
    now = clock().replace(minute=0, second=0, microsecond=0)
    asked = {"start": _typed(now - 2 * HOUR), "end": _typed(now), "cap": "100", "spread": "0s"}
    seen = scheduler_of.post(url_of(task, "backfill"), asked).context["asked"]
    longer = {**asked, "start": _typed(now - 9 * HOUR), "confirmed": "1"}
    for forged in ({}, {"asked": seen}):
        answer = scheduler_of.post(url_of(task, "backfill"), {**longer, **forged})
        assert answer.context["would"] == 10
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"start": "2099-01-01T00:00"}, "Expected two moments that have passed"),
        ({"start": ""}, "This field is required"),
        ({"cap": "0"}, "greater than or equal to 1"),
        ({"spread": "long"}, "is no span of time"),
    ],
)
def test_a_backfill_that_can_not_be_says_why(
    scheduler_of: Client, task: PeriodicTask, wrong: dict[str, str], sentence: str
) -> None:
    asked = {"start": "2026-01-01T00:00", "end": "2026-01-01T03:00", "cap": "5", "spread": "0", "confirmed": "1"}
    assert sentence in scheduler_of.post(url_of(task, "backfill"), {**asked, **wrong}).content.decode()
    assert not Job.objects.exists()


def test_times_of_a_backfill_are_those_of_the_schedules_clock(scheduler_of: Client) -> None:
    send(signed_in(superuser=True), when="0 2 * * *", zone="Asia/Tokyo")
    task = PeriodicTask.objects.get(name="nightly")
    asked = {"start": "2026-01-05T02:00", "end": "2026-01-05T02:00", "cap": "5", "spread": "0"}
    listed = scheduler_of.post(url_of(task, "backfill"), asked).context["listed"]
    assert [(due.local, due.utc) for due in listed] == [("Mon 2026-01-05 02:00:00 JST", "Sun 2026-01-04 17:00:00 UTC")]


def test_the_history_tells_every_due_time_and_goes_on_by_its_last_row(viewer: Client, task: PeriodicTask) -> None:
    runs = past(task, "completed", None, "failed")
    Occurrence.objects.filter(pk=runs[1].pk).update(reason="job 7 is not over", count=3, last_due_at=clock())
    page = text(viewer, url_of(task, "runs"))
    assert page.index("failed") < page.index("job 7 is not over") < page.index("completed")
    assert "3 times" in page
    assert "2.0 s" in page
    assert "ValueError: no luck" in page
    past(make_schedule("other", cron="1 * * * *"), "completed")
    past(task, *[None] * 120, kind=Kind.MANUAL, actor="bob")
    first = viewer.get(url_of(task, "runs")).context
    assert len(first["runs"]) == 100
    second = viewer.get(url_of(task, "runs"), {"before": first["older"]}).context
    assert (len(second["runs"]), second["older"]) == (23, None)
    assert len(viewer.get(url_of(task, "runs"), {"before": "x'"}).context["runs"]) == 100


def test_pages_link_to_the_audit_and_the_audit_to_the_page(superuser: Client, task: PeriodicTask) -> None:
    press(superuser, task, "run")
    address = f"{reverse('admin:jobs_auditentry_changelist')}?resource_type=schedule&amp;resource_id={task.pk}"
    assert address in text(superuser, url_of(task))
    assert url_of(task) in text(superuser, address.replace("&amp;", "&"))
    plain = signed_in("view_periodictask")
    page = text(plain, url_of(task))
    assert "auditentry" not in page
    assert reverse("admin:jobs_job_change", args=[Job.objects.get().pk]) not in page


def test_what_strangers_wrote_is_shown_as_text(superuser: Client, task: PeriodicTask) -> None:
    PeriodicTask.objects.filter(pk=task.pk).update(
        name=SIGNS, args=f'["{SIGNS}", 1]', kwargs=f'{{"{SIGNS}": 1}}', description=SIGNS, queue=SIGNS, task=SIGNS
    )
    companion(task, error=SIGNS, paused_at=clock(), paused_by=SIGNS, paused_reason=SIGNS, tags={SIGNS: SIGNS})
    runs = past(task, None, None)
    Occurrence.objects.filter(pk=runs[0].pk).update(reason=SIGNS, actor=SIGNS, kind=Kind.MANUAL)
    Occurrence.objects.filter(pk=runs[1].pk).update(job_id=make_job(state="failed", error=SIGNS))
    viewer = signed_in(*VIEWER)
    pages = [text(client, url_of(task)) for client in (superuser, viewer)]
    pages += [text(superuser, url) for url in (LIST, url_of(task, "runs"), url_of(task, "backfill"))]
    pages.append(select(superuser, LIST, task.pk, action="pause_selected"))
    pages.append(select(superuser, LIST, task.pk, action="run_selected"))
    pages.append(press(superuser, task, "run").content.decode())
    pages.append(send(superuser, name=SIGNS, when=SIGNS, zone=SIGNS, args=SIGNS, _preview="1").content.decode())
    url = reverse("admin:django_celery_beat_periodictask_preview_new")
    pages.append(send(superuser, url, when=SIGNS, zone=SIGNS, args=SIGNS).content.decode())
    for page in pages:
        assert SIGNS not in page
        assert "&lt;script&gt;alert(1)" in page


def test_pages_hold_no_script_and_no_style_of_their_own(superuser: Client, task: PeriodicTask) -> None:
    """As a strict Content-Security-Policy asks."""
    past(task, "completed", None)
    for url in (LIST, ADD, url_of(task), url_of(task, "runs"), url_of(task, "backfill")):
        page = text(superuser, url)
        assert " style=" not in page
        assert "<style" not in page
        assert " onclick=" not in page
        assert "javascript:" not in page
        scripts = [tag.partition(">") for tag in page.split("<script")[1:]]
        assert all("src=" in tag or 'type="application/json"' in tag for tag, _, _ in scripts), url


def _typed(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S")
