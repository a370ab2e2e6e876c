"""What Celery's tracer does with an exception of a job."""

from functools import cached_property
from typing import Any

from billiard.einfo import ExceptionInfo, Traceback
from celery import signals, states
from celery.app.trace import TraceInfo, get_log_policy, get_task_name, logger, traceback_clear
from celery.exceptions import MaxRetriesExceededError, Retry
from celery.utils.saferepr import saferepr

from .commit import is_moot
from .current import Current, current
from .frames import own_traceback
from .retrying import verdict


class Failure(ExceptionInfo):
    """Celery's `einfo` of an exception, with the text of its traceback made once.

    Celery's own also copies every frame for another process, which takes longer than all the rest of a failure.
    """

    def __init__(self, error: BaseException) -> None:
        self.type = type(error)
        self.exception = error
        self.traceback = own_traceback(error)

    @cached_property
    def tb(self) -> Traceback:
        """The frames, for those who ask."""
        return Traceback(self.exception.__traceback__)

    @property
    def exc_info(self) -> tuple[Any, Any, Any]:
        return self.type, self.exception, self.exception.__traceback__


class JobTraceInfo(TraceInfo):
    """Celery's reaction to an exception, after the platform's retry policy was asked."""

    state: str
    retval: Any

    def handle_error_state(self, task: Any, req: Any, eager: bool = False, call_errbacks: bool = True) -> Any:
        running = current()
        if running is not None and is_moot(self, running):
            return None
        if running is not None and running.wish is not None:
            # Caught by the task's own code, which then failed because of it.
            self.state, self.retval = states.IGNORED, running.wish
            return self.handle_ignore(task, req)
        if self.state == states.FAILURE and running is not None and self._is_to_retry(task, running):
            self.state = states.RETRY
            self.retval = Retry(f"{type(self.retval).__name__}, will retry", exc=self.retval)
        return super().handle_error_state(task, req, eager=eager, call_errbacks=call_errbacks)

    def handle_failure(self, task: Any, req: Any, store_errors: bool = True, call_errbacks: bool = True) -> Any:
        """As Celery's, with its signals and callbacks, but the exception need not be sent to another process."""
        error = self.retval
        info = Failure(error)
        task.backend.mark_as_failure(
            req.id, error, info.traceback, request=req, store_result=store_errors, call_errbacks=call_errbacks
        )
        task.on_failure(error, req.id, req.args, req.kwargs, info)
        signals.task_failure.send(
            sender=task,
            task_id=req.id,
            exception=error,
            args=req.args,
            kwargs=req.kwargs,
            traceback=error.__traceback__,
            einfo=info,
        )
        _log(task, req, info)
        traceback_clear(error)
        return info

    def _is_to_retry(self, task: Any, running: Current) -> bool:
        if running.again is not None:
            return True
        if self.retval is running.gave_up or isinstance(self.retval, MaxRetriesExceededError):
            return False
        running.verdict = verdict(task, running.run, self.retval, now=running.now())
        if running.verdict.delay is None:
            return False
        running.policy_retry = self.retval
        return True


def _log(task: Any, req: Any, info: Failure) -> None:
    """Celery's line on a failure, in its words; its traceback is not formatted again."""
    policy = get_log_policy(task, info, info.exception)
    if not logger.isEnabledFor(policy.severity):
        return
    context = {
        "hostname": req.hostname,
        "id": req.id,
        "name": get_task_name(req, task.name),
        "exc": saferepr(info.exception),
        "traceback": info.traceback,
        "args": req.get("argsrepr") or saferepr(req.args),
        "kwargs": req.get("kwargsrepr") or saferepr(req.kwargs),
        "description": policy.description,
        "internal": info.internal,
    }
    record = logger.makeRecord(
        logger.name,
        policy.severity,
        __file__,
        0,
        policy.format.strip(),
        (context,),
        info.exc_info if policy.traceback else None,
        extra={"data": context},
    )
    if policy.traceback:
        record.exc_text = info.traceback.rstrip("\n")
    logger.handle(record)
