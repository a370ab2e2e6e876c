"""Jobs run in the test's own process and, where it has one, in its own transaction."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from celery import chain, current_app
from django.contrib.auth.models import User
from django.core import mail
from django.db import connection, transaction
from django.test import TestCase

from jobs.engine import pause, resume
from jobs.engine.control import cancel
from jobs.engine.enqueue import enqueue
from jobs.engine.execute import carry
from jobs.engine.newjob import NewJob, job_key
from jobs.errors import JobsError, NotCommitted
from jobs.models import Attempt, Job, Lease, Queue, Worker
from jobs.states import End, State
from jobs.testing import JobFailed, assert_enqueued, assert_not_enqueued, drain, run_jobs, time_travel
from jobs.testing.committed import as_if_committed
from tests.support import shop
from tests.support.engine import new_job, opened, outcome, row

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("odd")]

both = pytest.mark.parametrize(
    "where",
    [
        pytest.param(None, id="in a transaction"),
        pytest.param(None, id="committed", marks=pytest.mark.django_db(transaction=True)),
    ],
)


def tasks_of(jobs: list[Job]) -> list[str]:
    return [job.task.rpartition(".")[2] for job in jobs]


def names() -> list[str]:
    return sorted(User.objects.values_list("username", flat=True))


@both
def test_jobs_run_with_those_that_they_enqueue(where) -> None:
    result = shop.place.delay("o1")
    ran = run_jobs()
    assert tasks_of(ran) == ["place", "send", "send"]
    assert {job.state for job in ran} == {"completed"}
    assert shop.SAID[:4] == ["in the block", "committed", "at once", "after the block"]
    assert shop.SAID[4:] == ["sent o1 to ann", "sent o1 to bob"]
    assert (names(), result.state, result.get(timeout=1)) == (["o1"], "SUCCESS", None)
    assert Attempt.objects.filter(end="completed").count() == 3
    assert not Lease.objects.exists()
    assert run_jobs() == []


def test_nothing_leaves_the_tests_transaction() -> None:
    shop.place.delay("o1")
    run_jobs()
    with opened() as other:
        for table in ("jobs_job", "jobs_worker", "jobs_lease", "jobs_queue", "jobs_attempt", "auth_user"):
            assert other._open().execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_what_waits_for_the_tests_commit_is_called_first() -> None:
    shop.send.delay_on_commit("o1")
    transaction.on_commit(lambda: shop.SAID.append("first"))
    assert_not_enqueued(shop.send)
    with as_if_committed():
        assert_enqueued(shop.send)
        assert shop.SAID == ["first"]
    assert tasks_of(run_jobs()) == ["send"]
    assert shop.SAID == ["first", "sent o1 to ann"]


def test_callbacks_that_the_test_has_executed_are_not_called_again() -> None:
    with TestCase.captureOnCommitCallbacks(execute=True):
        shop.send.delay_on_commit("o1")
    assert_enqueued(shop.send, count=1)
    run_jobs()
    assert shop.SAID == ["sent o1 to ann"]


@both
def test_the_best_rank_of_each_queue_runs_first(where) -> None:
    for order, options in {
        "low": {"priority": "low"},
        "high": {"priority": "high"},
        "normal": {},
        "mail": {"queue": "mail", "priority": "low"},
    }.items():
        shop.send.apply_async((order,), **options)
    assert [job.result for job in run_jobs()] == ['"high"', '"mail"', '"normal"', '"low"']


def test_a_paused_queue_waits() -> None:
    Queue.objects.create(name="mail", paused_at="2026-01-01T00:00Z")
    shop.send.apply_async(("o1",), queue="mail")
    assert run_jobs() == []
    Queue.objects.update(paused_at=None)
    assert len(run_jobs()) == 1


def test_a_paused_task_stays_until_it_is_resumed() -> None:
    shop.send.delay("o1")
    pause("task", shop.send.name, actor="ada")
    assert run_jobs() == []
    resume("task", shop.send.name, actor="ada")
    assert len(run_jobs()) == 1


def test_one_queue_or_some_jobs_alone() -> None:
    for order in range(3):
        shop.send.apply_async((order,), queue="mail")
    shop.send.delay(3)
    assert [job.queue for job in run_jobs(queue="default")] == ["default"]
    assert len(run_jobs(2)) == 2
    assert sorted(Job.objects.values_list("state", flat=True)) == ["completed", "completed", "completed", "pending"]


@both
def test_a_failure_is_raised_as_the_job_raised_it_and_recorded(where) -> None:
    shop.broken.delay()
    with pytest.raises(ValueError, match="no stock") as raised:
        run_jobs()
    assert raised.traceback[-1].name == "broken"
    assert "which is dead_letter now. run_jobs(raise_failures=False)" in raised.value.__notes__[0]
    assert Job.objects.get().state == "dead_letter"
    assert Worker.objects.filter(stopped_at=None).count() == 0, "its worker has left"
    shop.broken.delay("again")
    assert [job.error for job in run_jobs(raise_failures=False)] == ["ValueError: again"]


@pytest.mark.parametrize("how", ["exit", "nul"])
def test_a_failure_that_cannot_be_raised_says_what_the_job_says(how) -> None:
    shop.nul.delay(how)
    with pytest.raises((JobFailed, ValueError), match="SystemExit: 3" if how == "exit" else "a\x00b"):
        run_jobs()


def test_a_job_of_an_unknown_task_fails_the_test() -> None:
    enqueue(NewJob(task="not.there"))
    with pytest.raises(JobFailed, match=r"No worker here knows the task 'not\.there'"):
        run_jobs()


@both
def test_a_failure_that_the_policy_retries_is_raised_too(where, settings) -> None:
    settings.JOBS_RETRY_DELAY = 60.0
    shop.shaky.delay()
    with pytest.raises(ValueError, match="not yet"):
        run_jobs()
    assert run_jobs() == [], "its time has not come"
    time_travel(minutes=2)
    assert [job.state for job in run_jobs(raise_failures=False)] == ["retrying"]
    time_travel(minutes=5)
    assert [(job.state, job.attempt, job.result) for job in run_jobs()] == [("completed", 3, '"at last"')]


@pytest.mark.parametrize("task", [shop.asks_again, shop.autoretried], ids=lambda task: task.__name__)
def test_a_retry_that_the_task_asked_for_is_no_failure(task: Any) -> None:
    result = task.delay()
    assert [job.state for job in run_jobs()] == ["retrying"]
    time_travel(timedelta(seconds=61))
    assert [job.retries for job in run_jobs()] == [1 if task is shop.asks_again else 2]
    assert result.state == ("SUCCESS" if task is shop.asks_again else "RETRY")


def test_time_passes_for_scheduled_expiring_and_old_jobs() -> None:
    soon = shop.send.apply_async(("soon",), countdown=3600)
    late = shop.send.apply_async(("late",), countdown=7200, expires=5400)
    before = row(job_key(soon.id))
    assert run_jobs() == []
    time_travel(hours=1)
    moved = row(before.pk)
    assert before.run_at - moved.run_at == before.created_at - moved.created_at == timedelta(hours=1)
    assert before.rank - moved.rank == 3_600_000_000
    assert [job.result for job in run_jobs()] == ['"soon"']
    time_travel(hours=2)
    assert run_jobs() == []
    assert row(job_key(late.id)).state == "expired"
    assert row(before.pk).finished_at < row(job_key(late.id)).finished_at - timedelta(hours=1)


@pytest.mark.parametrize("units", [{}, {"hours": -1}])
def test_time_goes_forward_only(units) -> None:
    with pytest.raises(ValueError, match="Time goes forward only"):
        time_travel(**units)


@both
def test_chains_and_callbacks_follow(where) -> None:
    last = chain(shop.send.s("o1"), shop.send.s(to="bob"))()
    shop.send.apply_async(("o2",), link=shop.send.si("o3"))
    assert len(run_jobs()) == 4
    assert last.get(timeout=1) == "o1"
    assert sorted(shop.SAID) == ["sent o1 to ann", "sent o1 to bob", "sent o2 to ann", "sent o3 to ann"]


@both
def test_a_committing_task_is_recorded_once(where) -> None:
    chain(shop.commits.s("o1"), shop.send.s())()
    assert [job.state for job in run_jobs()] == ["completed"] * 2
    assert (names(), Attempt.objects.count(), shop.SAID) == (["o1"], 2, ["sent o1 to ann"])


def test_a_cancelled_job_does_not_run() -> None:
    result = shop.send.delay("o1")
    cancel([job_key(result.id)], actor="me")
    assert (run_jobs(), shop.SAID, result.state) == ([], [], "REVOKED")


def test_a_transaction_that_a_job_broke_is_whole_again_after_it() -> None:
    User.objects.create(username="of the test")
    shop.swallows.delay()
    shop.send.delay("o1")
    assert [job.state for job in run_jobs()] == ["completed"] * 2
    assert names() == ["of the test"], "what the job wrote went with the broken transaction"


@both
def test_a_block_that_a_job_left_open_is_rolled_back(where) -> None:
    shop.leaves_open.delay("atomic")
    shop.send.delay("o1")
    depth = len(connection.atomic_blocks)
    assert [job.state for job in run_jobs()] == ["completed"] * 2
    assert (names(), len(connection.atomic_blocks)) == ([], depth)


@pytest.mark.django_db(transaction=True)
def test_autocommit_that_a_job_turned_off_is_on_again() -> None:
    shop.leaves_open.delay("autocommit")
    assert [job.state for job in run_jobs()] == ["completed"]
    assert (names(), connection.get_autocommit()) == ([], True)


@both
def test_a_soft_time_limit_is_raised_in_the_job(where) -> None:
    User.objects.create(username="ann")
    shop.limited.apply_async(soft_time_limit=0.1)
    assert [job.result for job in run_jobs()] == ["1"]
    assert names() == ["ann"], "the connection is the test's and still open"


def test_a_job_in_a_coroutine_uses_the_tests_transaction() -> None:
    shop.asynchronous.delay("o1")
    assert [job.result for job in run_jobs()] == ["1", '"o1"']


def test_progress_is_kept(settings) -> None:
    settings.JOBS_PROGRESS_INTERVAL = 0.0
    shop.reports.delay()
    assert run_jobs()[0].progress["message"] == "whole"


def test_what_cannot_be_stored_leaves_the_tests_transaction_whole() -> None:
    job_id = new_job()
    with drain._place() as place:
        leased = drain._lease(place, "default")
        assert leased is not None
        carry(leased[1], place, lambda run: outcome(run.id, state=State.RETRYING, end=End.RETRIED, spent=2**40))
    assert (row(job_id).state, "the result can't be stored" in row(job_id).error) == ("dead_letter", True)


def test_jobs_that_enqueue_themselves_are_stopped(monkeypatch) -> None:
    monkeypatch.setattr(drain, "MOST", 3)
    shop.forever.delay()
    with pytest.raises(JobsError, match=r"run_jobs\(\) has run 3 jobs and is not at the end; the last was .*forever"):
        run_jobs()


def test_inside_an_open_block_no_worker_would_see_the_jobs() -> None:
    with transaction.atomic():
        shop.send.delay("o1")
        with pytest.raises(JobsError, match="was called inside atomic"):
            run_jobs()


def test_in_a_coroutine_and_in_a_job_it_is_refused() -> None:
    async def coroutine() -> None:
        run_jobs()

    with pytest.raises(JobsError, match="await sync_to_async"):
        asyncio.run(coroutine())
    shop.runs_jobs.delay()
    with pytest.raises(JobsError, match="was called inside a job"):
        run_jobs()


def test_a_wait_for_a_job_that_has_not_run_names_run_jobs() -> None:
    result = shop.send.delay("o1")
    with pytest.raises(NotCommitted, match=r"in a test, run_jobs\(\) of jobs.testing runs it"):
        result.get(timeout=1)
    run_jobs()
    assert result.get(timeout=1) == "o1"


def test_no_broker_is_asked(monkeypatch, settings) -> None:
    settings.JOBS_NOTIFY = True  # the wake-up asks the database only
    opened_connections = []
    monkeypatch.setattr(current_app._get_current_object(), "connection_for_write", opened_connections.append)
    monkeypatch.setattr(current_app._get_current_object(), "connection_for_read", opened_connections.append)
    shop.place.delay("o1")
    run_jobs()
    assert opened_connections == []


def test_time_stands_where_no_test_runs(monkeypatch) -> None:
    monkeypatch.delattr(mail, "outbox")
    job_id = new_job(delay=3600)
    before = row(job_id).run_at
    with pytest.raises(JobsError, match="under a test runner only"):
        time_travel(hours=1)
    assert row(job_id).run_at == before
