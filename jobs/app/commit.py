"""`self.commit()`: what a task writes and the completion of its job are one transaction."""

import asyncio
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from celery import group, states
from celery.app.trace import trace_ok_t
from celery.canvas import maybe_signature
from django.db import OperationalError, connections, transaction
from psycopg import IsolationLevel, errors

from ..conf import jobs_settings
from ..engine.execute import held
from ..engine.link import CallersLink, cause_of, jobs_alias
from ..engine.wake import wake_after_commit
from ..errors import CommitRefused, InvalidJob, LeaseLost
from ..policy import Outcome
from .current import Current, current
from .outcomes import in_canvas, outcome_of
from .wishes import JobSnoozed

logger = logging.getLogger("jobs")

OVERTAKEN = 1.0
"""Seconds until a job runs again whose block was overtaken by another transaction."""
WRITES = ("INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE", "COPY")


@dataclass(slots=True)
class Done:
    result: Any = None
    """The job's result: what the task would return."""


@contextmanager
def commit(task: Any) -> Iterator[Done]:
    """The block of `JobTask.commit`."""
    _refuse_event_loop()
    alias, running, done = jobs_alias(), _job_of(task), Done()
    if running is None:
        with transaction.atomic(using=alias):
            yield done
        return
    _check(running, alias)
    request, next_jobs, next_chords = task.request, running.next_jobs, running.next_chords
    before = (request.callbacks, request.chain, request.errbacks)
    outcome: Outcome | None = None
    recorder, from_snapshot = running.place.recorder, _reads_from_snapshot(alias)

    def confirm() -> None:
        running.committed, running.result, running.committing = outcome, done.result, False

    if from_snapshot:
        recorder.leave_alone()
    try:
        with _no_other_database(alias), transaction.atomic(using=alias):
            # The first of the callbacks: whatever the task's own ones raise, the job is completed.
            transaction.on_commit(confirm, using=alias)
            yield done
            if running.wish is not None:
                raise running.wish
            running.committing, running.again = True, None
            running.next_jobs, running.next_chords = list(next_jobs), list(next_chords)
            _follow(task, running, done.result)
            outcome = _outcome(task, running, done.result)
            if not _recorded(running, alias, outcome):
                raise LeaseLost(running.task_id)
            if outcome.next_jobs:
                wake_after_commit(alias)
        confirm()  # in a transaction of a test no callback is called
    finally:
        running.committing = False
        if running.committed is None:
            request.callbacks, request.chain, request.errbacks = before
            running.next_jobs, running.next_chords = next_jobs, next_chords
            if outcome is not None or from_snapshot:
                progress = outcome.progress if outcome is not None else recorder.take_progress()
                recorder.resume(running.run.id, running.run.started_at, progress)


def _reads_from_snapshot(alias: str) -> bool:
    """Whether a row that somebody else writes during a transaction can't be written in it any more."""
    level = connections[alias].settings_dict["OPTIONS"].get("isolation_level")
    return level in (IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE)


def _recorded(running: Current, alias: str, outcome: Outcome) -> bool:
    """False: the lease is lost. Raises JobSnoozed if another transaction wrote after this one's snapshot."""
    place, run = running.place, running.run
    try:
        return place.recorder.record_within(CallersLink(alias), outcome)
    except OperationalError as error:
        if not isinstance(cause_of(error), errors.SerializationFailure):
            raise
        if held(place.link, run.token, run.id) is None:
            return False
        # Somebody asked for its end, or another member of its chord was counted: nobody failed.
        logger.info("commit() was overtaken: the job runs again", extra={"job_id": str(run.id), "task": run.task})
        running.wish = JobSnoozed(OVERTAKEN)
        raise running.wish from error


def is_moot(info: Any, running: Current) -> bool:
    """Whether what a task raised says nothing of its job: it is on record already, or another worker's."""
    if running.committed is None:
        return isinstance(info.retval, LeaseLost)
    logger.warning(
        "a task raised after its commit(): its job stays completed",
        exc_info=info.retval,
        extra={"job_id": str(running.run.id), "task": running.run.task},
    )
    info.state, info.retval = states.SUCCESS, running.result
    return True


def _job_of(task: Any) -> Current | None:
    """The job that this very call of the task runs; None in a shell, in a test, or when one task calls another."""
    running = current()
    request = task.request
    return running if running is not None and not request.is_eager and request.id == running.task_id else None


def _check(running: Current, alias: str) -> None:
    if running.committed is not None:
        raise CommitRefused(
            f"Job {running.task_id} is committed already: a run completes once. Put all of its writes into one block."
        )
    connection = connections[alias]
    blocks = connection.atomic_blocks
    if (blocks and not blocks[-1]._from_testcase) or (not blocks and not connection.get_autocommit()):
        raise CommitRefused(
            f"commit() was called inside a transaction on the database {alias!r}, whose end it can't know. Call it "
            "outside atomic(), once, around all that belongs together."
        )


def _refuse_event_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise CommitRefused(
        "commit() was called in a coroutine, but asynchronous Django has no transactions: put the block into a "
        "function and await sync_to_async(function)()."
    )


def _follow(task: Any, running: Current, result: Any) -> None:
    """Have Celery's callbacks and next step called as its tracer would; then the tracer finds none to call."""
    request, app = task.request, task.app
    priority = (request.delivery_info or {}).get("priority") if app.conf.task_inherit_parent_priority else None
    family = {"parent_id": running.task_id, "root_id": request.root_id or running.task_id, "priority": priority}
    for call in _callbacks(app, request.callbacks or ()):
        app.amqp._retry_publish(call.apply_async, (result,), **family)
    if request.chain:
        step = maybe_signature(request.chain[-1], app=app)
        app.amqp._retry_publish(step.apply_async, (result,), chain=request.chain[:-1], **family)
    request.callbacks = request.chain = request.errbacks = None


def _callbacks(app: Any, callbacks: Any) -> list[Any]:
    """Groups one by one, the others as one group, as in Celery."""
    calls = [maybe_signature(callback, app=app) for callback in callbacks]
    if len(calls) < 2:
        return calls
    single = [call for call in calls if not isinstance(call, group)]
    return [*(call for call in calls if isinstance(call, group)), *([group(single, app=app)] if single else [])]


def _outcome(task: Any, running: Current, result: Any) -> Outcome:
    outcome = in_canvas(running, outcome_of(running, task, trace_ok_t(result, None, 0.0, None)))
    outcome.committed = True
    outcome.finished_at = running.now()
    return outcome


@contextmanager
def _no_other_database(alias: str) -> Iterator[None]:
    """Warn of writes to another database, which the block can't take back; under JOBS_STRICT refuse them."""
    with ExitStack() as stack:
        for other in connections.all():
            if other.alias != alias:
                stack.enter_context(other.execute_wrapper(partial(_elsewhere, alias, other.alias)))
        yield


def _elsewhere(
    alias: str, other: str, execute: Callable, sql: Any, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    if str(sql).lstrip()[:8].upper().startswith(WRITES):
        message = (
            f"A task writes to the database {other!r} inside commit(), whose transaction is on {alias!r}: that write "
            "stays even if the block is rolled back. Write it outside the block, so that it may be repeated."
        )
        if jobs_settings().strict:
            raise InvalidJob(message)
        warnings.warn(message, RuntimeWarning, stacklevel=8)
    return execute(sql, params, many, context)
