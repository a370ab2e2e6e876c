"""A task's own writes and the completion of its job in one transaction."""

from collections.abc import Callable
from typing import Any

import pytest
from celery import chain, current_app, group, signals
from django.db import connection, connections, transaction

from jobs.engine.link import Link
from jobs.engine.newjob import job_key
from jobs.errors import InvalidJob
from jobs.models import Attempt, Job, Lease
from tests.support import commit_tasks as tasks
from tests.support.commit_tasks import names
from tests.support.engine import later, row, run, run_result
from tests.support.odd_tasks import SEEN, echo, errback
from tests.support.rows import ends_of


@pytest.fixture(autouse=True)
def _forget(odd: None) -> None:
    tasks.ACTIONS.clear()


def seen_from_outside(link: Link, job_id: Any) -> tuple:
    """What another connection sees: the effects, the job's state, the jobs that are pending."""
    conn = link._open()
    users = conn.execute("SELECT count(*) FROM auth_user").fetchone()[0]
    state = conn.execute("SELECT state FROM jobs_job WHERE id = %s", [job_id]).fetchone()[0]
    pending = conn.execute("SELECT count(*) FROM jobs_job WHERE state = 'pending'").fetchone()[0]
    return users, state, pending


def test_the_effect_and_the_completion_are_one_commit(link: Link) -> None:
    result = tasks.commits.delay("ann", result={"n": 1})
    job = run_result(link, result)
    assert (names(), job.state, job.error, ends_of(job)) == (["ann"], "completed", None, ["completed"])
    assert result.get(timeout=1) == {"n": 1}
    assert job.started_at <= job.finished_at <= job.updated_at
    assert not Lease.objects.exists()


def test_others_see_effect_completion_and_next_step_at_the_same_moment(link: Link) -> None:
    last = chain(tasks.meanwhile.s("ann", "look"), echo.s())()
    first = job_key(last.parent.id)
    seen = []

    def look(when: str) -> None:
        seen.append((when, seen_from_outside(link, first)))

    def on_the_way(task: Any) -> None:
        look("in the block")
        transaction.on_commit(lambda: look("after it"))

    tasks.ACTIONS["look"] = on_the_way
    run(link, first)
    assert seen == [("in the block", (0, "running", 0)), ("after it", (1, "completed", 1))]


@pytest.mark.parametrize("what", ["raise", "retry", "ignore", "reject", "exit", "progress", "again", "return"])
def test_what_comes_after_the_commit_changes_nothing(link: Link, caplog, what: str) -> None:
    seen: list[str] = []
    for kind in ("task_failure", "task_retry"):
        getattr(signals, kind).connect(lambda kind=kind, **_: seen.append(kind), weak=False, dispatch_uid="after")
    result = tasks.then.apply_async(("ann", what), max_retries=3, link_error=errback.s())
    job = run_result(link, result)
    for kind in ("task_failure", "task_retry"):
        getattr(signals, kind).disconnect(dispatch_uid="after")
    assert (names(), job.state, job.error, job.progress, ends_of(job)) == (
        ["ann"],
        "completed",
        None,
        None,
        ["completed"],
    )
    assert result.get(timeout=1) == "done"
    assert (Job.objects.count(), seen) == (1, [])
    said = [r for r in caplog.records if r.getMessage() == "a task raised after its commit(): its job stays completed"]
    assert len(said) == (what in ("raise", "retry", "again"))


def test_a_second_commit_is_refused_with_the_reason(link: Link, caplog) -> None:
    job = run_result(link, tasks.then.delay("ann", "again"))
    assert "a run completes once. Put all of its writes into one block." in caplog.text
    assert (names(), job.state) == (["ann"], "completed")


@pytest.mark.parametrize(
    ("what", "state", "end"),
    [
        ("raise", "dead_letter", "failed"),
        ("retry", "retrying", "retried"),
        ("reject", "dead_letter", "failed"),
        ("ignore", "completed", "completed"),
    ],
)
def test_what_is_raised_in_the_block_rolls_it_back_and_ends_the_run_as_ever(link: Link, what, state, end) -> None:
    result = tasks.rolled_back.apply_async(("ann", what), max_retries=int(what == "retry"), link_error=errback.s())
    job = run_result(link, result)
    assert (names(), job.state, ends_of(job), job.result in (None, "") or job.result != '"done"') == (
        [],
        state,
        [end],
        True,
    )
    assert Job.objects.filter(task=errback.name).count() == (what == "raise")


def test_after_a_failed_block_another_may_succeed(link: Link) -> None:
    job = run_result(link, tasks.second_try.apply_async(("ann",), link=echo.s()))
    assert (names(), job.state, job.result) == (["ann again"], "completed", '"second"')
    assert Job.objects.get(state="pending").args == '["second"]'


def test_a_commit_that_fails_leaves_the_job_as_it_was(link: Link) -> None:
    """The next step is called by the tracer then, as if there had been no block."""

    def fail_at_commit(task: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE later (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
            cursor.execute("INSERT INTO later VALUES (1), (1)")

    tasks.ACTIONS["fail"] = fail_at_commit
    job = run_result(link, tasks.meanwhile.apply_async(("ann", "fail"), link=echo.s(), link_error=errback.s()))
    assert (names(), job.state, ends_of(job)) == ([], "dead_letter", ["failed"])
    assert "IntegrityError" in job.error
    assert [j.task for j in Job.objects.filter(state="pending")] == [errback.name]


def test_the_next_step_of_a_chain_is_inserted_once(link: Link) -> None:
    last = chain(tasks.commits.s("ann", result=7), echo.s("and"))()
    run(link, job_key(last.parent.id))
    step = row(job_key(last.id))
    assert (Job.objects.count(), step.state, step.epoch, step.args) == (2, "pending", 1, '[7, "and"]')
    run(link, step.pk)
    assert last.get(timeout=1) == [[7, "and"], {}]


def test_callbacks_follow_as_in_celery(link: Link) -> None:
    called: list[str] = []
    signals.after_task_publish.connect(lambda sender, **_: called.append(sender), weak=False, dispatch_uid="following")
    callbacks = [echo.s("a"), group(echo.s("b"), echo.s("c")), echo.si("d")]
    result = tasks.commits.apply_async(("ann",), link=callbacks)
    run_result(link, result)
    signals.after_task_publish.disconnect(dispatch_uid="following")
    assert called == [tasks.commits.name, *[echo.name] * 4]
    followers = Job.objects.filter(state="pending")
    assert sorted(job.args for job in followers) == ['["d"]', '["done", "a"]', '["done", "b"]', '["done", "c"]']
    plain = echo.apply_async(("x",), link=callbacks)
    run_result(link, plain)
    assert Job.objects.filter(state="pending").count() == 8
    families = {str(job.options.count(result.id)) for job in followers}
    assert families == {"2"}, "root and parent are the committed job"


def test_the_other_jobs_of_a_carrier_are_recorded_as_ever(link: Link, caplog) -> None:
    calls = [echo.delay(1), tasks.commits.delay("ann"), tasks.then.delay("bob", "raise"), echo.delay(2)]
    run(link, *(job_key(call.id) for call in calls))
    assert [call.state for call in calls] == ["SUCCESS"] * 4
    assert (names(), Attempt.objects.count(), Lease.objects.count()) == (["ann", "bob"], 4, 0)
    assert "stale" not in caplog.text, "nothing was recorded twice"


def test_a_callback_of_the_task_that_fails_after_the_commit_changes_nothing(link: Link, caplog) -> None:
    job = run_result(link, tasks.broken_callback.apply_async(("ann",), link_error=errback.s()))
    assert (job.state, job.result, names()) == ("completed", '"done"', ["ann"])
    assert "a task raised after its commit()" in caplog.text
    assert "stale" not in caplog.text


@pytest.mark.parametrize("task", [tasks.inside_a_transaction, tasks.without_autocommit], ids=lambda task: task.__name__)
def test_a_commit_inside_a_transaction_is_refused(link: Link, task: Any) -> None:
    job = run_result(link, task.delay())
    assert (names(), job.state) == ([], "dead_letter")
    assert "commit() was called inside a transaction on the database 'default'" in job.error


def test_a_commit_in_a_coroutine_is_refused(link: Link) -> None:
    job = run_result(link, tasks.asynchronously.delay())
    assert "commit() was called in a coroutine" in job.error
    assert SEEN == []


def test_a_block_beside_a_coroutine_completes_its_job(link: Link) -> None:
    job = run_result(link, tasks.beside_a_coroutine.delay("ann"))
    assert (job.state, job.result, names()) == ("completed", '"from the block"', ["ann"])


def test_outside_a_job_the_block_is_a_transaction(link: Link) -> None:
    tasks.commits("ann")
    with pytest.raises(ValueError, match="no"):
        tasks.rolled_back("bob", "raise")
    tasks.commits.apply(("cid",))
    assert (names(), Job.objects.count()) == (["ann", "cid"], 0)


def test_a_task_called_by_another_completes_nothing_but_itself(link: Link) -> None:
    job = run_result(link, tasks.calls_another.delay("ann"))
    assert (job.result, names()) == ('"its own result"', ["ann", "ann too"])


def test_an_atomic_task_is_one_block(link: Link) -> None:
    last = chain(tasks.wholly.s("ann"), echo.s())()
    run(link, job_key(last.parent.id))
    assert (names(), row(job_key(last.parent.id)).result) == (["ann"], '"made ann"')
    assert row(job_key(last.id)).args == '["made ann"]'


@pytest.mark.parametrize(
    ("call", "state"),
    [
        (lambda: tasks.wholly.delay("ann", "raise"), "retrying"),
        (lambda: tasks.wholly.delay("ann", "reject"), "dead_letter"),
        (lambda: tasks.wholly.delay("ann", "ignore"), "completed"),
        (lambda: tasks.wholly_retried.delay("ann"), "retrying"),
        (lambda: tasks.wholly_autoretried.delay("ann"), "retrying"),
    ],
    ids=["raise", "reject", "ignore", "retry", "autoretry"],
)
def test_whatever_an_atomic_task_raises_rolls_it_back(link: Link, call: Callable, state: str) -> None:
    job = run_result(link, call())
    assert (names(), job.state) == ([], state)
    if state == "retrying":
        assert later(link, job).attempt == 2


def test_an_atomic_task_called_by_hand_is_a_transaction(link: Link) -> None:
    with pytest.raises(ValueError, match="no"):
        tasks.wholly("ann", "raise")
    assert (tasks.wholly("bob"), names()) == ("made bob", ["bob"])


def test_an_asynchronous_task_cannot_be_atomic() -> None:
    app = current_app._get_current_object()

    async def coroutine() -> None:
        pass

    with pytest.raises(InvalidJob, match="is async, so it can't be atomic=True"):
        app.task(name="tests.never", atomic=True, shared=False)(coroutine)._get_current_object()


def test_a_write_to_another_database_in_the_block_is_warned_of(link: Link, settings) -> None:
    other = connection.copy("other")
    other.connect()
    connections["other"] = other
    connections.databases["other"] = other.settings_dict

    def write(task: Any) -> None:
        with connections["other"].cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.execute("UPDATE auth_group SET name = name WHERE false")

    tasks.ACTIONS["elsewhere"] = write
    try:
        with pytest.warns(RuntimeWarning, match="writes to the database 'other' inside") as warned:
            job = run_result(link, tasks.meanwhile.delay("ann", "elsewhere"))
        settings.JOBS_STRICT = True
        refused = run_result(link, tasks.meanwhile.delay("bob", "elsewhere"))
    finally:
        other.close()
        del connections["other"], connections.databases["other"]
    assert (len(warned), job.state) == (1, "completed")
    assert (refused.state, "Write it outside the block" in refused.error, names()) == ("dead_letter", True, ["ann"])
