"""Failures that no line of the task raised: what follows from them is the same."""

import logging
import sys
from typing import Any

from billiard.einfo import ExceptionInfo
from celery import signals
from celery.app.task import Context
from celery.exceptions import ChordError, WorkerLostError

from ..engine.chords import RESULTS
from ..engine.execute import Run
from ..policy import Outcome
from .current import Current, enter, leave
from .following import following
from .outcomes import failure, followed
from .request import request_of

logger = logging.getLogger("jobs")


def chord_error_of(run: Run) -> str | None:
    """Why a job can't run that waited for a chord; None if it can."""
    if run.args[:1] == [RESULTS]:
        return run.options.get("chord_error") or "The chord that it waited for no longer exists"
    return run.options.get("chord_error")


def chord_failure(running: Current, task: Any, reason: str) -> Outcome:
    """The end of a job whose chord could not complete: it fails without being run, and is not retried."""
    run = running.run
    try:
        raise ChordError(reason)
    except ChordError as error:
        info = ExceptionInfo(sys.exc_info())
        shown = request_of(run, running.task_id, running.place.node)
        request = Context(shown, args=run.args, kwargs=run.kwargs)
        task.backend.mark_as_failure(running.task_id, error, info.traceback, request=request)
        task.on_failure(error, running.task_id, run.args, run.kwargs, info)
        signals.task_failure.send(
            sender=task,
            task_id=running.task_id,
            exception=error,
            args=run.args,
            kwargs=run.kwargs,
            traceback=error.__traceback__,
            einfo=info,
        )
        logger.error("job fails with its chord: %s", error, extra={"job_id": str(run.id), "task": run.task})
        outcome = failure(run, task, error, info.traceback)
    return followed(running, outcome)


def call_errbacks(outcome: Outcome, run: Run, task: Any, error: Exception) -> None:
    """Let `link_error` follow from a failure that another process than the job's own found out."""
    if task is None or not run.options.get("link_error"):
        return
    nowhere: Any = None  # it runs no more
    running = Current(run, nowhere, run.options.get("task_id") or str(run.id))
    token = enter(running)
    try:
        request = Context(request_of(run, running.task_id))
        task.backend.mark_as_failure(running.task_id, error, None, request=request)
    except Exception:
        # Old signatures of errbacks are called right here. What they raise must not keep the failure off the record.
        logger.exception("link_error could not be called", extra={"job_id": str(run.id), "task": run.task})
    finally:
        leave(token)
    followed(running, outcome)


def call_errbacks_of_lost(backend: Any, task_id: str, root_id: str, error: str | None, errbacks: list) -> None:
    """Let `link_error` follow from a job whose loss was final; those that are jobs come with the current job's end."""
    request = Context(id=task_id, root_id=root_id, errbacks=errbacks, delivery_info={})
    with following():
        backend._call_task_errbacks(request, WorkerLostError(error), None)
