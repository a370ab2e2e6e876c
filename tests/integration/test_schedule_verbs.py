"""What operators ask of schedules: run, pause, resume, backfill, preview; each request stands in the audit log."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from jobs.errors import InvalidActor, InvalidPause
from jobs.models import AuditEntry, Job
from schedules import verbs
from schedules.errors import InvalidSchedule
from schedules.models import Occurrence
from tests.support.schedules import clock, companion, history, make_due, make_schedule, states, tick

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ADA = {"actor": "ada", "reason": "as asked", "ip": "192.0.2.1"}


def entries(action: str) -> list[tuple]:
    found = AuditEntry.objects.filter(resource_type="schedule", action=action).order_by("id")
    return [(entry.actor, entry.resource_id, entry.detail, entry.ip) for entry in found]


class TestRunNow:
    def test_a_run_is_a_job_and_an_occurrence_of_its_own(self) -> None:
        task = make_schedule(policy={"overlap": "skip"})
        first, second = verbs.run_now([task.pk], **ADA), verbs.run_now([task.pk], **ADA)
        assert [(one.schedule, one.refused) for one in (*first, *second)] == [(task.pk, "")] * 2
        assert {one.job_id for one in (*first, *second)} == {job.pk for job in Job.objects.all()}
        assert [(one.kind, one.state, one.actor) for one in history(task)] == [("manual", "fired", "ada")] * 2
        actor, resource, detail, ip = entries("run")[0]
        assert (actor, resource, ip) == ("ada", str(task.pk), "192.0.2.1")
        assert detail == {"name": "minutely", "job": str(first[0].job_id), "refused": "", "reason": "as asked"}

    def test_it_runs_a_paused_and_disabled_one_and_leaves_its_times_alone(self) -> None:
        task = make_schedule(enabled=False, policy={"paused_at": NOON})
        assert verbs.run_now([task.pk, 10**6], **ADA)[0].job_id
        task.refresh_from_db()
        assert (task.total_run_count, companion(task).next_run_at, companion(task).is_paused) == (0, None, True)

    def test_a_call_that_can_not_be_says_why(self) -> None:
        task = make_schedule()
        PeriodicTask.objects.update(task="tests.support.tasks.nop")
        (ran,) = verbs.run_now([task.pk], **ADA)
        assert ran.job_id is None
        assert "Did you mean 'tests.support.tasks.noop'?" in ran.refused
        assert states(task) == ["skipped"]

    def test_nobody_is_refused(self) -> None:
        task = make_schedule()
        with pytest.raises(InvalidActor):
            verbs.run_now([task.pk], actor=" ")
        assert not Job.objects.exists()


class TestPause:
    def test_a_paused_schedule_says_who_why_and_until_when(self) -> None:
        task, until = make_schedule(), clock() + timedelta(hours=1)
        assert verbs.pause([task.pk, 10**6], until=until, **ADA) == [task.pk]
        found = companion(task)
        assert (found.is_paused, found.paused_by, found.paused_reason, found.paused_until) == (
            True,
            "ada",
            "as asked",
            until,
        )
        assert entries("pause")[0][2]["until"] == until.isoformat()

    def test_paused_again_it_keeps_its_beginning(self) -> None:
        task = make_schedule()
        verbs.pause([task.pk], actor="ada")
        before = companion(task).paused_at
        verbs.pause([task.pk], actor="bob")
        assert (companion(task).paused_at, companion(task).paused_by) == (before, "bob")

    @pytest.mark.parametrize("until", [NOON, (NOON + timedelta(days=30_000)).replace(tzinfo=None)])
    def test_an_end_that_is_past_or_has_no_zone_is_refused(self, until: datetime) -> None:
        with pytest.raises(InvalidPause, match="expected a moment to come"):
            verbs.pause([1], until=until, **ADA)

    def test_a_reason_that_can_not_be_stored_is_refused(self) -> None:
        with pytest.raises(InvalidPause, match="up to 500 characters"):
            verbs.pause([1], actor="ada", reason="\x00")


class TestResume:
    @pytest.mark.parametrize(("misfire", "wanted"), [("skip", ["skipped"]), ("run_once", ["fired"])])
    def test_what_was_due_meanwhile_is_treated_by_the_misfire_policy(self, misfire: str, wanted: list[str]) -> None:
        task = make_schedule(policy={"misfire": misfire})
        due = make_due(task, ago=150)
        companion(task, paused_at=due, paused_by="ada", paused_reason="no")
        assert verbs.resume([task.pk], actor="bob") == [task.pk]
        (one,) = history(task)
        assert ([one.state], one.count, one.last_due_at) == (wanted, 3, due + timedelta(seconds=120))
        assert one.reason == ("paused by ada: no" if misfire == "skip" else "once for 3 due times")
        assert (companion(task).is_paused, companion(task).next_run_at) == (False, due + timedelta(seconds=180))
        assert entries("resume")[0][:2] == ("bob", str(task.pk))

    def test_earlier_failures_count_no_more(self) -> None:
        task = make_schedule(policy={"paused_at": NOON, "streak_from": NOON})
        verbs.resume([task.pk], actor="bob")
        assert companion(task).streak_from > NOON

    def test_one_that_is_not_paused_is_left_out(self) -> None:
        assert verbs.resume([make_schedule().pk], actor="bob") == []

    def test_a_disabled_one_is_resumed_and_stays_disabled(self) -> None:
        task = make_schedule(enabled=False, policy={"paused_at": NOON})
        assert verbs.resume([task.pk], actor="bob") == [task.pk]
        assert (companion(task).is_paused, companion(task).active) == (False, False)


def test_a_switch_is_followed_and_audited() -> None:
    task = make_schedule()
    assert verbs.set_enabled([task.pk], False, **ADA) == [task.pk]
    assert not companion(task).active
    assert verbs.set_enabled([task.pk], False, **ADA) == []
    assert verbs.set_enabled([task.pk], True, **ADA) == [task.pk]
    assert (companion(task).active, len(entries("enable")), len(entries("disable"))) == (True, 1, 1)


def test_a_deleted_schedule_leaves_its_jobs() -> None:
    task = make_schedule()
    verbs.run_now([task.pk], **ADA)
    assert verbs.delete([task.pk], **ADA) == [task.pk]
    assert (PeriodicTask.objects.filter(pk=task.pk).exists(), Occurrence.objects.exists()) == (False, False)
    assert Job.objects.count() == 1
    assert entries("delete")[0][2]["name"] == "minutely"


class TestBackfill:
    @pytest.fixture
    def hourly(self) -> PeriodicTask:
        return make_schedule("hourly", cron="0 * * * *")

    RANGE = {"start": NOON, "end": NOON + timedelta(hours=5)}

    def test_a_dry_run_tells_what_it_would_do_and_does_nothing(self, hourly: PeriodicTask) -> None:
        Occurrence.objects.create(schedule_id=hourly.pk, due_at=NOON, kind="schedule", state="fired")
        told = verbs.backfill(hourly.pk, **self.RANGE, **ADA, dry_run=True)
        assert told.due == [NOON + timedelta(hours=n) for n in range(6)]
        assert (told.existing, told.made, told.more) == ([NOON], [], False)
        assert (Job.objects.count(), entries("backfill")) == (0, [])

    def test_what_has_no_run_gets_one_and_never_a_second(self, hourly: PeriodicTask) -> None:
        Occurrence.objects.create(schedule_id=hourly.pk, due_at=NOON, kind="schedule", state="fired")
        missed = NOON + timedelta(hours=1)
        Occurrence.objects.create(schedule_id=hourly.pk, due_at=missed, kind="schedule", state="missed")
        assert len(verbs.backfill(hourly.pk, **self.RANGE, **ADA).made) == 5
        assert verbs.backfill(hourly.pk, **self.RANGE, **ADA).made == []
        assert Job.objects.count() == 5
        assert entries("backfill")[0][2]["runs"] == 5

    def test_the_earliest_ones_go_first_up_to_the_cap(self, hourly: PeriodicTask) -> None:
        verbs.backfill(hourly.pk, **self.RANGE, **ADA, cap=2)
        verbs.backfill(hourly.pk, **self.RANGE, **ADA, cap=2)
        assert [one.due_at for one in history(hourly)] == [NOON + timedelta(hours=n) for n in range(4)]

    def test_its_jobs_start_over_the_spread(self, hourly: PeriodicTask) -> None:
        verbs.backfill(hourly.pk, **self.RANGE, **ADA, spread=60.0)
        starts = [job.ready_at for job in Job.objects.order_by("ready_at")]
        assert 45 < (starts[-1] - starts[0]).total_seconds() < 55

    @pytest.mark.parametrize(
        "wrong",
        [
            {"end": datetime(2100, 1, 1, tzinfo=UTC)},
            {"start": NOON + timedelta(days=1)},
            {"start": NOON.replace(tzinfo=None)},
            {"cap": 0},
        ],
    )
    def test_a_range_that_can_not_be_is_refused(self, hourly: PeriodicTask, wrong: Any) -> None:
        with pytest.raises(InvalidSchedule, match="can't be"):
            verbs.backfill(hourly.pk, **{**self.RANGE, **wrong}, **ADA)

    def test_a_schedule_that_is_gone_is_said(self) -> None:
        with pytest.raises(InvalidSchedule, match="There is no schedule 77"):
            verbs.backfill(77, **self.RANGE, **ADA)


class TestPreview:
    def test_of_a_text(self) -> None:
        found = verbs.preview("0 3 * * *", 3, zone="Europe/Berlin")
        assert len(found) == 3
        assert found[0] > clock()

    def test_of_a_task_it_is_what_the_beat_computes(self) -> None:
        task = make_schedule(every=90)
        tick()
        assert verbs.preview(task, 2)[0] == companion(task).next_run_at

    def test_of_one_that_is_not_saved_yet(self) -> None:
        start = clock() + timedelta(days=1)
        task = PeriodicTask(crontab=CrontabSchedule(minute="0"), start_time=start, expires=start + timedelta(hours=2))
        found = verbs.preview(task)
        assert len(found) == 2
        assert found[0] >= start

    def test_of_a_one_off_it_is_one(self) -> None:
        assert len(verbs.preview(make_schedule(every=5, one_off=True))) == 1

    def test_what_never_matches_is_refused(self) -> None:
        with pytest.raises(InvalidSchedule):
            verbs.preview("0 0 31 2 *")


def test_a_job_of_a_verb_carries_its_schedule() -> None:
    task = make_schedule()
    verbs.run_now([task.pk], **ADA)
    job = Job.objects.get()
    assert (job.reference_type, job.reference_id) == ("schedule", str(task.pk))
    assert json.loads(job.options)["headers"]["periodic_task_name"] == "minutely"
