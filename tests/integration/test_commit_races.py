"""A task's block and those who meet it on its way: a lost lease, the recorder, a cancel, a limit."""

import threading
from typing import Any

import pytest
from celery import current_app, signals
from django.db import connection, transaction

from jobs.app.current import current
from jobs.app.runner import Runner
from jobs.conf import jobs_settings
from jobs.engine.control import cancel
from jobs.engine.execute import carry
from jobs.engine.link import Link
from jobs.engine.maintenance import lose
from jobs.engine.newjob import job_key
from jobs.errors import LeaseLost
from jobs.models import Job
from tests.support import commit_tasks as tasks
from tests.support.commit_tasks import names
from tests.support.engine import lease, opened, placed, row, run, run_result
from tests.support.odd_tasks import echo, errback
from tests.support.rows import ends_of
from tests.support.statements import lost


@pytest.fixture(autouse=True)
def _forget(odd: None) -> None:
    tasks.ACTIONS.clear()


def test_a_stale_workers_block_is_rolled_back_and_is_no_failure(link: Link, caplog) -> None:
    failures = []
    signals.task_failure.connect(lambda **said: failures.append(said), weak=False, dispatch_uid="stale")
    result = tasks.meanwhile.apply_async(("ann", "lose"), link=echo.s(), link_error=errback.s())
    token = lease(link, [job_key(result.id)])

    def lose_it(task: Any) -> None:
        with opened() as other:
            assert lose(other, token, jobs_settings(), won=True, begun=1, reason="x") == (1, 0, 0)

    tasks.ACTIONS["lose"] = lose_it
    with placed(link) as place:
        carry(token, place, Runner(current_app._get_current_object(), place))
    signals.task_failure.disconnect(dispatch_uid="stale")
    assert (names(), Job.objects.count(), row(job_key(result.id)).state) == ([], 1, "pending")
    assert ends_of(row(job_key(result.id))) == ["lost"]
    assert failures == []
    assert [r.getMessage() for r in caplog.records if "stale" in r.getMessage()] == [
        "stale outcome dropped: the job was given to another worker meanwhile"
    ]


def test_a_task_that_catches_the_lost_lease_changes_nothing(link: Link) -> None:
    result = tasks.meanwhile.delay("ann", "lose")
    token = lease(link, [job_key(result.id)])
    tasks.ACTIONS["lose"] = lambda task: lost(link, token, begun=1)
    caught = []
    with placed(link) as place:
        runner = Runner(current_app._get_current_object(), place)
        body = tasks.meanwhile.run

        def catching(*args: Any) -> str:
            try:
                return body(*args)
            except LeaseLost as error:
                caught.append(str(error))
                return "went on"

        tasks.meanwhile.run = catching
        try:
            carry(token, place, runner)
        finally:
            tasks.meanwhile.run = body
    assert "was given to another. What this block wrote is rolled back." in caught[0]
    assert (names(), row(job_key(result.id)).state) == ([], "pending")


def test_progress_in_the_block_waits_for_nobody_and_goes_with_the_outcome(link: Link, settings) -> None:
    settings.JOBS_PROGRESS_INTERVAL = 0.0
    job = run_result(link, tasks.reports.delay())
    assert (job.state, job.progress["message"]) == ("completed", "whole")


def test_the_recorder_leaves_a_row_alone_that_the_block_has_written(link: Link, caplog, settings) -> None:
    """Its thread would wait for the block's transaction, and with it everyone who waits for the thread."""
    settings.JOBS_FLUSH_INTERVAL = 0.01
    real, turn = connection.commit, threading.Event()

    def after_the_threads_turn() -> None:
        recorder = current().place.recorder
        recorder._late_at = 0.0
        recorder._poke.set()
        turn.wait(0.5)
        real()

    def slow_down(task: Any) -> None:
        connection.commit = after_the_threads_turn

    tasks.ACTIONS["slow"] = slow_down
    jobs = [tasks.meanwhile.delay("ann", "slow"), tasks.commits.delay("bob")]
    try:
        run(link, *(job_key(job.id) for job in jobs))
    finally:
        connection.commit = real
    assert (names(), {job.state for job in Job.objects.all()}) == (["ann", "bob"], {"completed"})
    assert "could not be written" not in caplog.text


def test_a_lease_taken_back_after_the_commit_holds_nothing(link: Link) -> None:
    result = tasks.meanwhile.delay("ann", "later")
    token = lease(link, [job_key(result.id)])
    taken = []
    tasks.ACTIONS["later"] = lambda task: transaction.on_commit(
        lambda: taken.append(lose(link, token, jobs_settings(), won=True, begun=1, reason="x"))
    )
    with placed(link) as place:
        carry(token, place, Runner(current_app._get_current_object(), place))
    assert (taken, row(job_key(result.id)).state, names()) == ([(0, 0, 0)], "completed", ["ann"])
    assert ends_of(row(job_key(result.id))) == ["completed"]


def test_a_cancel_after_the_commit_comes_too_late(link: Link) -> None:
    result = tasks.meanwhile.delay("ann", "cancel")
    said = []
    tasks.ACTIONS["cancel"] = lambda task: transaction.on_commit(
        lambda: said.append(cancel([job_key(result.id)], actor="me"))
    )
    job = run_result(link, result)
    assert (said, job.state, job.cancel_requested_at) == ([([], [])], "completed", None)


def test_a_cancel_before_the_commit_does_not_undo_it(link: Link) -> None:
    result = tasks.meanwhile.delay("ann", "cancel")

    def ask(task: Any) -> None:
        running = current()
        running.place.slots.ask_to_stop(running.place.index, running.run.id)

    tasks.ACTIONS["cancel"] = ask
    assert (run_result(link, result).state, names()) == ("completed", ["ann"])


def test_a_soft_limit_waits_for_the_end_of_the_commit(link: Link) -> None:
    """It strikes while COMMIT is under way, and is raised right after it, where it changes nothing."""
    real = connection.commit
    until = threading.Event()

    def slowly() -> None:
        until.wait(0.3)
        real()

    def slow_down(task: Any) -> None:
        connection.commit = slowly

    tasks.ACTIONS["slow"] = slow_down
    try:
        job = run_result(link, tasks.meanwhile.apply_async(("ann", "slow"), soft_time_limit=0.1))
    finally:
        connection.commit = real
    assert (job.state, names(), ends_of(job)) == ("completed", ["ann"], ["completed"])
