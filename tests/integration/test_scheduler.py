"""A beat over the database: what is due becomes an occurrence and a job, once, by the schedule's policies."""

import json
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection
from django_celery_beat.models import PeriodicTask

from jobs.models import AuditEntry, Job, Queue
from schedules import firing
from schedules.models import Beat, Occurrence
from schedules.scheduler import PRUNED, prune
from tests.support.engine import run
from tests.support.fleet import database_url
from tests.support.schedules import beat, clock, companion, history, make_due, make_schedule, states, tick

pytestmark = pytest.mark.django_db(transaction=True)


def jobs_of(task: PeriodicTask) -> list[Job]:
    return list(Job.objects.for_reference(("schedule", task.pk)).order_by("created_at", "id"))


def test_a_new_schedule_gets_its_next_run_and_is_not_fired_before_it() -> None:
    task = make_schedule(every=60)
    tick()
    found = companion(task)
    assert found.next_run_at == found.anchor_at + timedelta(seconds=60)
    assert history(task) == []


def test_a_due_one_is_fired_once_and_says_so_everywhere() -> None:
    task = make_schedule()
    due = make_due(task)
    tick()
    tick()
    (one,), (job,) = history(task), jobs_of(task)
    assert (one.state, one.due_at, one.job_id, one.kind) == ("fired", due, job.pk, "schedule")
    assert 0 <= one.late < 5
    task.refresh_from_db()
    assert (task.total_run_count, task.last_run_at is not None) == (1, True)
    assert companion(task).next_run_at == due + timedelta(seconds=60)


def test_the_job_carries_what_the_schedule_says() -> None:
    task = make_schedule(
        "mail out",
        task="tests.support.tasks.add",
        args="[1]",
        kwargs='{"y": 2}',
        queue="mail",
        headers='{"tenant": "acme"}',
        policy={"priority": -40, "timeout": 9.0, "max_retries": 7, "expires_after": 600.0, "unique_key": "k"},
    )
    companion(task, tags={"team": "a"})
    make_due(task)
    tick()
    (job,) = jobs_of(task)
    assert (job.args, json.loads(job.kwargs), job.queue, job.priority, job.max_retries) == (
        "[1]",
        {"y": 2},
        "mail",
        -40,
        7,
    )
    assert (job.unique_key, job.tags) == ("k", {"team": "a"})
    assert 590 < (job.expires_at - job.created_at).total_seconds() <= 600
    options = json.loads(job.options)
    assert options["time_limit"] == 9.0
    assert options["headers"] == {"tenant": "acme", "periodic_task_name": "mail out", "celery_beat_task": True}


def test_jitter_moves_the_start_of_the_job_only() -> None:
    task = make_schedule(policy={"jitter": 100.0})
    due = make_due(task)
    tick(beat(dice=lambda: 0.5))
    (one,), (job,) = history(task), jobs_of(task)
    later = due + timedelta(seconds=50)
    assert (one.due_at, one.run_at, job.run_at, job.state) == (due, later, later, "scheduled")


class TestRefused:
    @pytest.mark.parametrize(
        ("columns", "reason"),
        [
            ({"task": "tests.support.tasks.ad"}, "Unknown task 'tests.support.tasks.ad'. Did you mean"),
            ({"task": "jobs.run"}, "Unknown task 'jobs.run'"),
            ({"kwargs": '{"no": 1}'}, "does not take these arguments"),
            ({"args": "[1"}, "can't be read as JSON"),
            ({"args": "{}"}, "expected a JSON array"),
        ],
    )
    def test_a_call_that_can_not_be_is_an_occurrence_that_says_why(self, columns: Any, reason: str) -> None:
        task = make_schedule()
        PeriodicTask.objects.filter(pk=task.pk).update(**columns)
        make_due(task)
        tick()
        (one,) = history(task)
        assert (one.state, one.job_id) == ("skipped", None)
        assert reason in one.reason
        task.refresh_from_db()
        assert task.total_run_count == 0

    def test_refusals_for_one_reason_are_one_occurrence(self) -> None:
        task = make_schedule()
        PeriodicTask.objects.filter(pk=task.pk).update(task="gone")
        first = make_due(task, ago=125)
        tick()
        make_due(task)
        tick()
        (one,) = history(task)
        assert (one.due_at, one.count) == (first, 4)

    def test_a_full_queue_refuses_one_and_not_its_neighbours(self) -> None:
        Queue.objects.create(name="small", max_size=1)
        tasks = [make_schedule(f"s{n}", queue="small" if n < 3 else "wide") for n in range(5)]
        for task in tasks:
            make_due(task)
        tick()
        assert sorted(states(task)[0] for task in tasks[:3]) == ["fired", "skipped", "skipped"]
        assert [states(task) for task in tasks[3:]] == [["fired"], ["fired"]]
        assert Job.objects.count() == 3
        assert sum(PeriodicTask.objects.get(pk=task.pk).total_run_count for task in tasks) == 3


def test_a_schedule_whose_unique_key_is_held_says_by_whom() -> None:
    task = make_schedule(policy={"unique_key": "one"})
    make_due(task)
    tick()
    make_due(task)
    tick()
    (job,) = Job.objects.all()
    first, second = history(task)
    assert (first.job_id, second.job_id) == (job.pk, job.pk)
    assert second.reason == f"job {job.pk} holds its unique key"


class TestIsolation:
    def test_a_bad_schedule_is_put_off_and_the_others_are_fired(self, caplog) -> None:
        good, bad, also = (make_schedule(name) for name in ("good", "bad", "also"))
        for task in (good, bad, also):
            make_due(task)
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO django_celery_beat_crontabschedule (minute, hour, day_of_month, month_of_year, "
                "day_of_week, timezone) VALUES ('0', '0', '31', '2', '*', 'UTC') RETURNING id"
            )
            never = cursor.fetchone()[0]
            cursor.execute(
                "UPDATE django_celery_beat_periodictask SET interval_id = NULL, crontab_id = %s WHERE id = %s",
                [never, bad.pk],
            )
        tick()
        assert (states(good), states(also), states(bad)) == (["fired"], ["fired"], [])
        found = companion(bad)
        assert found.errors == 1
        assert found.error
        assert found.retry_at > clock()
        assert "schedule 'bad' is put off for 2 s" in caplog.text
        # It does not spin: nothing is due until then.
        tick()
        assert companion(bad).errors == 1

    def test_put_off_again_it_waits_longer_and_an_edit_makes_up_for_it(self) -> None:
        task = make_schedule()
        make_due(task)
        PeriodicTask.objects.filter(pk=task.pk).update(interval=None)
        tick()
        companion(task, retry_at=clock())
        tick()
        assert companion(task).errors == 2
        PeriodicTask.objects.filter(pk=task.pk).update(interval=make_schedule("other").interval)
        tick()
        found = companion(task)
        assert (found.error, found.errors, found.retry_at) == ("", 0, None)


def test_one_that_somebody_is_editing_is_passed_by_and_fired_as_edited() -> None:
    """A beat that waited for the edit would hold up the others, and the edit waits for the beat's locks in turn."""
    edited, other = make_schedule("edited"), make_schedule("other")
    due = [make_due(task) for task in (edited, other)]
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '1s'")
    with psycopg.connect(database_url()) as editor:
        editor.execute("UPDATE django_celery_beat_periodictask SET queue = 'new' WHERE id = %s", [edited.pk])
        beat().tick()
        assert (states(edited), states(other)) == ([], ["fired"])
        assert companion(edited).error == ""
    tick()
    assert [history(task)[0].due_at for task in (edited, other)] == due
    assert jobs_of(edited)[0].queue == "new"


class TestOverlap:
    def test_skip_waits_for_the_end_of_the_running_job(self, link) -> None:
        task = make_schedule(policy={"overlap": "skip"})
        make_due(task)
        tick()
        (job,) = jobs_of(task)
        make_due(task)
        tick()
        assert history(task)[1].reason == f"job {job.pk} is not over"
        run(link, job.pk)
        make_due(task)
        tick()
        assert states(task) == ["fired", "skipped", "fired"]

    def test_queue_one_lets_one_wait_and_fires_it_when_the_job_is_over(self, link) -> None:
        task = make_schedule(policy={"overlap": "queue_one"})
        for _ in range(3):
            make_due(task)
            tick()
        assert states(task) == ["fired", "waiting", "skipped"]
        (job,) = jobs_of(task)
        assert history(task)[1].waits_for == job.pk
        run(link, job.pk)
        tick()
        assert states(task) == ["fired", "fired", "skipped"]
        assert history(task)[1].job_id in {job.pk for job in jobs_of(task)}
        assert len(jobs_of(task)) == 2

    def test_what_waits_while_the_schedule_is_paused_is_skipped(self, link) -> None:
        task = make_schedule(policy={"overlap": "queue_one"})
        for _ in range(2):
            make_due(task)
            tick()
        companion(task, paused_at=clock(), paused_by="ada", paused_reason="no")
        run(link, jobs_of(task)[0].pk)
        tick()
        assert (history(task)[1].state, history(task)[1].reason) == ("skipped", "paused by ada: no")

    def test_the_running_one_is_cancelled_by_the_engines_verb(self) -> None:
        task = make_schedule(policy={"overlap": "cancel_running"})
        make_due(task)
        tick()
        make_due(task)
        tick()
        first, second = (Job.objects.get(pk=one.job_id) for one in history(task))
        assert (first.state, second.state) == ("cancelled", "pending")
        assert AuditEntry.objects.get(action="cancel").actor == "schedule minutely"


class TestEnd:
    def test_a_one_off_in_the_past_is_fired_at_once_and_disabled(self) -> None:
        task = make_schedule(at=clock() - timedelta(seconds=5))
        tick()
        task.refresh_from_db()
        assert (states(task), task.enabled, companion(task).active) == (["fired"], False, False)

    def test_a_one_off_that_is_enabled_again_is_not_run_twice(self) -> None:
        task = make_schedule(at=clock() - timedelta(seconds=5))
        tick()
        PeriodicTask.objects.filter(pk=task.pk).update(enabled=True)
        tick()
        assert len(jobs_of(task)) == 1

    def test_the_last_of_its_runs_disables_it(self) -> None:
        task = make_schedule(policy={"max_runs": 2})
        for _ in range(3):
            make_due(task)
            tick()
        task.refresh_from_db()
        assert (len(jobs_of(task)), task.enabled) == (2, False)

    def test_after_its_end_it_is_disabled_without_a_run(self) -> None:
        task = make_schedule(expires=clock() - timedelta(seconds=1))
        tick()
        task.refresh_from_db()
        assert (states(task), task.enabled) == ([], False)


class TestPauses:
    def test_a_paused_schedule_is_not_looked_at(self) -> None:
        task = make_schedule(policy={"paused_at": clock()})
        due = make_due(task)
        tick()
        assert (states(task), companion(task).next_run_at) == ([], due)

    def test_at_its_end_a_pause_is_over_by_itself(self) -> None:
        task = make_schedule(policy={"misfire": "skip"})
        due = make_due(task, ago=150)
        now = clock()
        companion(task, paused_at=due, paused_by="ada", paused_until=now - timedelta(seconds=1))
        tick()
        (held,) = history(task)
        assert (held.state, held.count, held.reason, held.due_at) == ("skipped", 3, "paused by ada", due)
        found = companion(task)
        assert (found.is_paused, found.paused_until, found.next_run_at) == (False, None, due + timedelta(seconds=180))

    def test_failures_in_a_row_pause_it(self, link, settings) -> None:
        settings.JOBS_DEFAULT_MAX_RETRIES = 0
        task = make_schedule(task="tests.support.tasks.fail", policy={"pause_after_failures": 2})
        for _ in range(3):
            make_due(task)
            tick()
            for job in jobs_of(task):
                if job.state == "pending":
                    run(link, job.pk)
        found = companion(task)
        assert (len(jobs_of(task)), found.is_paused, found.paused_by) == (2, True, "beat")
        assert found.paused_reason == "its last 2 jobs failed"
        assert found.failure_streak == 2


class TestHouse:
    def test_a_beat_gives_a_sign_of_life_with_its_skew_and_leaves_when_it_stops(self) -> None:
        scheduler = beat()
        scheduler.tick()
        (row,) = Beat.objects.all()
        assert row.name == scheduler.name
        assert abs(row.skew) < 5
        scheduler.close()
        assert not Beat.objects.exists()

    def test_old_occurrences_leave_in_batches(self) -> None:
        task = make_schedule()
        now = clock()
        for days in (0, 10, 11):
            at = now - timedelta(days=days)
            Occurrence.objects.create(schedule_id=task.pk, due_at=at, kind="schedule", state="fired", decided_at=at)
        assert prune(9) == 2
        assert [one.due_at for one in history(task)] == [now]
        assert PRUNED < 10_000

    def test_a_lost_connection_is_said_once_and_the_beat_goes_on(self, caplog) -> None:
        caplog.set_level("INFO", "jobs")
        scheduler, task = beat(), make_schedule()
        tick(scheduler)
        make_due(task)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            pid = cursor.fetchone()[0]
        other = connection.copy()
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        other.close()
        assert scheduler.tick() > 0
        tick(scheduler)
        assert states(task) == ["fired"]
        assert caplog.text.count("the database does not do its part") == 1
        assert "beat: the database is back" in caplog.text

    def test_more_than_a_batch_is_done_in_several(self, monkeypatch) -> None:
        monkeypatch.setattr("schedules.scheduler.BATCH", 2)
        tasks = [make_schedule(f"s{n}") for n in range(5)]
        for task in tasks:
            make_due(task)
        scheduler = beat()
        while scheduler.tick() == 0:
            pass
        assert [states(task) for task in tasks] == [["fired"]] * 5
        assert firing.BATCH == 200
