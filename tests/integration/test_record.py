"""The recorder: outcomes in batches, bad and locked rows apart, progress under the lease."""

import threading
from collections.abc import Iterator

import pytest
from django.db import connection, transaction

from jobs.engine.execute import Place
from jobs.engine.link import Link
from jobs.engine.newjob import NewJob
from jobs.engine.sql import statement
from jobs.models import Attempt, Job, Lease
from jobs.policy import Outcome
from jobs.states import End, State
from tests.support.engine import RECORDER, new_job, outcome, placed, row, won
from tests.support.statements import lost
from tests.support.wait import wait_until


@pytest.fixture
def place(link: Link) -> Iterator[Place]:
    with placed(link) as place:
        yield place


def record(place: Place, token, *outcomes: Outcome, unstarted=()) -> None:
    place.recorder.open(token)
    for each in outcomes:
        place.recorder.begin(each.job_id, each.started_at, shown=False)
        place.recorder.add(each)
    place.recorder.close(unstarted)


def states(*jobs) -> list[str]:
    return [row(job).state for job in jobs]


def test_an_outcome_is_on_record_while_the_next_job_still_runs(link: Link, place: Place) -> None:
    first, second = new_job(), new_job()
    place.recorder.open(won(link, [first, second]))
    done, running = outcome(first), outcome(second)
    place.recorder.begin(first, done.started_at, shown=False)
    place.recorder.add(done)
    place.recorder.begin(second, running.started_at, shown=False)
    wait_until(lambda: row(first).state == State.COMPLETED, within=5)
    wait_until(lambda: row(second).state == State.RUNNING, within=5, what="a job longer than expected is shown to run")
    assert Lease.objects.count() == 1
    place.recorder.add(running)
    place.recorder.close()
    assert (states(second), Lease.objects.count()) == (["completed"], 0)


BAD = {
    "a NUL in the result": {"result": "\x00"},
    "progress that is no JSON": {"progress": "{"},
    "a retry later than there are days": {"state": State.RETRYING, "end": End.RETRIED, "delay": 1e15, "spent": 1},
    "more retries than are counted": {"state": State.RETRYING, "end": End.RETRIED, "delay": 1.0, "spent": 2**40},
    "a follower that can't be stored": {"next_jobs": [NewJob(task="x\x00", args="[]")]},
    "a follower of no priority": {"next_jobs": [NewJob(task="x", priority=2**40)]},
}


@pytest.mark.parametrize("fields", BAD.values(), ids=BAD)
def test_a_bad_row_does_not_take_its_batch_down(link: Link, place: Place, fields: dict) -> None:
    jobs = [new_job() for _ in range(3)]
    outcomes = outcome(jobs[0], result="1"), outcome(jobs[1], **fields), outcome(jobs[2], result="3")
    recording = threading.Thread(target=record, args=(place, won(link, jobs), *outcomes), daemon=True)
    recording.start()
    recording.join(15)
    assert not recording.is_alive(), "a row that can't be written must not be tried for ever"
    assert [row(job).result for job in jobs] == ["1", None, "3"]
    bad = row(jobs[1])
    assert bad.state == ("dead_letter" if "delay" in fields else "completed")
    assert "can't be stored" in bad.error
    assert Attempt.objects.count() == 3
    assert not Lease.objects.exists(), "a lease left behind would hold a place in the window for ever"


def tries(link: Link, seen: set) -> set:
    """Times at which the recorder began to wait for a row that somebody holds."""
    query = "SELECT query_start FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'"
    seen.update(link._open().execute(query, [RECORDER]))
    return seen


def test_a_locked_row_waits_alone_and_is_tried_until_it_is_free(link: Link, place: Place) -> None:
    free, locked = new_job(), new_job()
    token = won(link, [free, locked])
    recording = threading.Thread(target=record, args=(place, token, outcome(free), outcome(locked)))
    seen: set = set()
    with transaction.atomic():
        Job.objects.select_for_update().get(pk=locked)
        recording.start()
        wait_until(lambda: row(free).state == State.COMPLETED, within=10)
        wait_until(lambda: len(tries(link, seen)) >= 4, within=20, what="several tries")
        assert row(locked).state == State.DISPATCHED
        assert Lease.objects.exists()
    recording.join(15)
    assert not recording.is_alive()
    assert (states(locked), Lease.objects.exists()) == (["completed"], False)


def test_a_next_step_whose_key_is_being_taken_is_inserted_when_it_is_free(link: Link, place: Place) -> None:
    free, waits = new_job(), new_job()
    step = NewJob(task="tests.support.tasks.noop", unique_key="k")
    token = won(link, [free, waits])
    recording = threading.Thread(target=record, args=(place, token, outcome(free), outcome(waits, next_jobs=[step])))
    with transaction.atomic():
        new_job(unique_key="k")
        recording.start()
        wait_until(lambda: row(free).state == State.COMPLETED, within=10)
        assert row(waits).state == State.DISPATCHED
        transaction.set_rollback(True)
    recording.join(15)
    assert not recording.is_alive()
    assert states(waits, step.id) == ["completed", "pending"]
    assert (Attempt.objects.count(), Lease.objects.exists()) == (2, False)


def test_a_locked_row_that_was_not_started_is_given_back_when_it_is_free(link: Link, place: Place) -> None:
    done, locked = new_job(), new_job()
    token = won(link, [done, locked])
    recording = threading.Thread(target=record, args=(place, token, outcome(done)), kwargs={"unstarted": [locked]})
    with transaction.atomic():
        Job.objects.select_for_update().get(pk=locked)
        recording.start()
        wait_until(lambda: row(done).state == State.COMPLETED, within=10)
    recording.join(15)
    assert (recording.is_alive(), states(locked)) == (False, ["pending"])


def test_outcomes_survive_a_lost_connection(link: Link, place: Place) -> None:
    jobs = [new_job(), new_job()]
    token = won(link, jobs)
    place.link.rows("alive")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name LIKE 'jobs tests rec%' AND datname = current_database()"
        )
    record(place, token, outcome(jobs[0], next_jobs=[NewJob(task="next")]), outcome(jobs[1]))
    assert states(*jobs) == ["completed", "completed"]
    assert Job.objects.filter(task="next").count() == 1


def test_followers_are_inserted_once_and_only_with_the_outcome(link: Link, place: Place) -> None:
    kept, stale = new_job(), new_job()
    token = won(link, [kept, stale])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_job SET state = 'pending', lease = NULL WHERE id = %s", [stale])
    followers = [NewJob(task="after"), NewJob(task="never")]
    record(place, token, outcome(kept, next_jobs=followers[:1]), outcome(stale, next_jobs=followers[1:]))
    assert list(Job.objects.filter(task__in=["after", "never"]).values_list("task", flat=True)) == ["after"]
    assert states(stale) == ["pending"]


def test_a_follower_that_is_live_already_is_not_inserted_again(link: Link, place: Place) -> None:
    first = new_job()
    follower = NewJob(task="after")
    new_job(id=follower.id, task="after", priority=3)
    record(place, won(link, [first]), outcome(first, next_jobs=[follower]))
    assert (row(follower.id).priority, row(follower.id).epoch) == (3, 1)


def test_progress_is_written_at_once_and_then_at_intervals(link: Link, place: Place, settings) -> None:
    settings.JOBS_PROGRESS_INTERVAL = 3600
    job = new_job()
    place.recorder.open(won(link, [job]))
    place.recorder.begin(job, outcome(job).started_at, shown=True)
    for percent in range(5):
        place.recorder.report(f'{{"percent": {percent}}}')
    assert row(job).progress == {"percent": 0}
    last = outcome(job, progress=place.recorder.take_progress())
    place.recorder.add(last)
    place.recorder.close()
    assert row(job).progress == {"percent": 4}


def test_late_progress_is_written_while_the_job_runs_on(link: Link, place: Place, settings) -> None:
    settings.JOBS_PROGRESS_INTERVAL = 0.1
    job = new_job()
    place.recorder.open(won(link, [job]))
    place.recorder.begin(job, outcome(job).started_at, shown=True)
    for percent in (0, 1):
        place.recorder.report(f'{{"percent": {percent}}}')
    wait_until(lambda: row(job).progress == {"percent": 1}, within=5)


def test_a_stale_worker_reports_no_progress(link: Link, place: Place) -> None:
    job = new_job()
    token = won(link, [job])
    lost(link, token, begun=1)
    place.recorder.open(token)
    place.recorder.begin(job, outcome(job).started_at, shown=True)
    place.recorder.report('{"percent": 1}')
    assert (row(job).progress, row(job).state) == (None, "pending")


def test_what_a_cut_off_lease_left_is_not_written_under_the_next_one(link: Link, place: Place) -> None:
    job = new_job()
    token = won(link, [job])
    place.recorder.open(token)
    with place.recorder._lock:
        place.recorder.add(outcome(job, result='"of the first lease"'))
        lost(link, token, begun=1)
        place.recorder.open(won(link, [job]))
    place.recorder.close(end=False)
    assert (row(job).state, row(job).result) == ("running", None)


@pytest.mark.parametrize("name", ["finish", "progress", "start", "give_back"])
def test_every_statement_of_a_worker_is_fenced_by_its_lease(name: str) -> None:
    assert "lease = %(token)s" in statement(name)


def test_an_outcome_that_cannot_be_written_is_tried_again_until_it_can(link: Link, place: Place, caplog) -> None:
    """The thread outlives what nobody foresaw: the outcomes after it are written too."""
    job = new_job()
    place.recorder.open(won(link, [job]))
    broken = outcome(job, result=object())
    place.recorder.add(broken)
    wait_until(lambda: "outcomes could not be written yet: trying again" in caplog.text, what="a failure that is told")
    assert not row(job).finished_at
    broken.result = "1"
    wait_until(lambda: states(job) == ["completed"], what="the outcome on record")
    place.recorder.close()


def test_progress_that_cannot_be_written_costs_the_job_nothing(link: Link, place: Place, caplog) -> None:
    job = new_job()
    done = outcome(job)
    place.recorder.open(won(link, [job]))
    place.recorder.begin(job, done.started_at, shown=True)
    place.recorder.report("{")
    assert "progress was not written" in caplog.text
    place.recorder.add(done)
    place.recorder.close()
    assert (states(job), row(job).progress) == (["completed"], None)
