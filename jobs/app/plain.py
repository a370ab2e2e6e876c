"""A run as Celery's tracer makes it, without what nobody has asked for: receivers, hooks, callbacks, a log line.

For the many tasks that have none of them this is most of what a run costs. `tests/integration/test_plain.py` compares
the two.
"""

import logging
from collections.abc import Callable
from typing import Any

from billiard.einfo import ExceptionInfo
from celery import signals, states
from celery._state import _task_stack
from celery.app import trace
from celery.app.task import Context
from celery.app.trace import report_internal_error, task_has_custom, trace_ok_t, traceback_clear
from celery.exceptions import Ignore, Reject, Retry
from celery.loaders.base import BaseLoader

from .backend import JobBackend
from .current import Current
from .trace import JobTraceInfo

HOOKS = ("before_start", "on_success", "after_return")


def plain_body(task: Any) -> Callable[..., Any] | None:
    """The task's own code, if nothing of Celery's tracer is to be seen around it but what is done here; else None."""
    loader, backend = type(task.app.loader), type(task.backend)
    is_plain = (
        # A monitoring library may have put its own tracer in the place of Celery's.
        trace.build_tracer.__module__ == trace.__name__
        and not task.track_started
        and not any(task_has_custom(task, hook) for hook in HOOKS)
        and not trace.logger.isEnabledFor(logging.INFO)
        and (loader.on_task_init, loader.on_process_cleanup) == (BaseLoader.on_task_init, BaseLoader.on_process_cleanup)
        and backend.mark_as_done is JobBackend.mark_as_done
        and backend.process_cleanup is JobBackend.process_cleanup
    )
    if not is_plain:
        return None
    return task if task_has_custom(task, "__call__") else task.run


def is_unwatched() -> bool:
    """Whether no signal of a run that succeeds has a receiver; asked before each run, as they may come and go."""
    return not (signals.task_prerun.receivers or signals.task_postrun.receivers or signals.task_success.receivers)


def run_plain(body: Callable[..., Any], task: Any, running: Current, shown: dict[str, Any]) -> Any:
    """Run the task's own code; returns what Celery's tracer returns."""
    run = running.run
    request = Context(shown, args=run.args, called_directly=False, kwargs=run.kwargs)
    try:
        # What is pushed to is kept: the stacks' own `pop` would make each empty one anew, for every run.
        tasks, requests = _task_stack.push(task), task.request_stack.push(request)
        try:
            value = body(*run.args, **run.kwargs)
            # The work is done: what interrupts now must not make a failure of it.
            running.interruptible = False
            return trace_ok_t(value, None, None, None)
        except Exception as error:
            info, value = _reaction(task, request, error)
            traceback_clear(error)
            return trace_ok_t(value, info, None, None)
        finally:
            tasks.pop()
            requests.pop()
    except (MemoryError, Reject):
        raise
    except Exception as error:
        return _broken_reaction(task, running, request, error)


def _reaction(task: Any, request: Context, error: Exception) -> tuple[JobTraceInfo, Any]:
    match error:
        case Reject():
            info = JobTraceInfo(states.REJECTED, error)
            info.handle_reject(task, request)
        case Ignore():
            info = JobTraceInfo(states.IGNORED, error)
            info.handle_ignore(task, request)
        case Retry():
            info = JobTraceInfo(states.RETRY, error)
            return info, info.handle_error_state(task, request, call_errbacks=False)
        case _:
            info = JobTraceInfo(states.FAILURE, error)
            return info, info.handle_error_state(task, request)
    return info, ExceptionInfo(internal=True)


def _broken_reaction(task: Any, running: Current, request: Context, error: Exception) -> Any:
    """The task's `on_failure` or `on_retry`, or a receiver of theirs, has failed: that is the failure then."""
    run, shown = running.run, dict(vars(request))
    trace._signal_internal_error(task, running.task_id, run.args, run.kwargs, shown, error)
    value = report_internal_error(task, error)
    info = JobTraceInfo(states.FAILURE, error)
    info.handle_error_state(task, request)
    return trace_ok_t(value, info, None, None)
