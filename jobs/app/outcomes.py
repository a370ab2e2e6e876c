"""How a run ended, as a value to record."""

import random
import traceback
from datetime import UTC, datetime
from typing import Any

from celery import states
from celery.exceptions import TimeLimitExceeded

from ..conf import jobs_settings
from ..engine.enqueue import encode
from ..engine.execute import Run
from ..engine.record import LONGEST_ERROR, LONGEST_TRACEBACK, clean
from ..errors import InvalidJob
from ..policy import Outcome, may_retry, retry_delay
from ..states import End, State
from .current import Current

UNKNOWN_TASK_STARTS = 6
"""Starts after which a job whose task no worker knows is a dead letter; until then a deployment may bring it."""


def policy_retries(task: Any, run: Run) -> bool:
    """A task that names its exceptions in `autoretry_for` retries only those, by itself."""
    return not getattr(task, "autoretry_for", None) and may_retry(run.retries, run.max_retries)


def outcome_of(running: Current, task: Any, traced: Any) -> Outcome:
    run, info = running.run, traced.info
    if info is None and running.again is None:
        return _success(running, traced.retval)
    if running.again is not None or info.state == states.RETRY:
        return retried(running, task, info, traced)
    if info.state == states.IGNORED:
        return _success(running, None)
    if info.state == states.REJECTED:
        if getattr(info.retval, "requeue", False):
            return _ended(run, State.RETRYING, End.RETRIED, error=_text(info.retval), delay=1.0)
        return _ended(run, State.DEAD_LETTER, End.FAILED, error=_text(info.retval))
    outcome = failure(run, task, info.retval, getattr(traced.retval, "traceback", None))
    outcome.next_jobs = running.next_jobs
    return outcome


def _success(running: Current, value: Any) -> Outcome:
    run, result, error = running.run, None, None
    if value is not None and not run.options.get("ignore_result"):
        try:
            result = encode("result", value)
        except InvalidJob as reason:
            # The work is done: running it again would do it twice.
            error = clean(f"completed, but its result is not kept: {reason}", LONGEST_ERROR)
    outcome = _ended(run, State.COMPLETED, End.COMPLETED, result=result, error=error)
    outcome.next_jobs = running.next_jobs
    return outcome


def retried(running: Current, task: Any, info: Any, traced: Any) -> Outcome:
    run, again = running.run, running.again
    cause = running.policy_retry or getattr(info and info.retval, "exc", None)
    if running.policy_retry is None and again is None and not may_retry(run.retries, run.max_retries):
        # A bare `raise Retry` asks Celery for nothing; without this limit it would run for ever.
        return failure(run, task, cause or info.retval, getattr(traced.retval, "traceback", None))
    outcome = _ended(
        run,
        State.RETRYING,
        End.RETRIED,
        error=_text(cause),
        result=described(task, cause),
        traceback=_traceback(running, traced),
        spent=1,
    )
    if running.policy_retry is None and again is not None:
        outcome.delay, outcome.args, outcome.kwargs = again.delay, again.args, again.kwargs
    else:
        outcome.delay = next_delay(run.retries)
    return outcome


def _traceback(running: Current, traced: Any) -> str | None:
    """The failure's own frames, not those of the retry that it became."""
    if running.policy_retry is not None:
        return clean("".join(traceback.format_exception(running.policy_retry)), LONGEST_TRACEBACK)
    return clean(getattr(traced.retval, "traceback", None), LONGEST_TRACEBACK)


def failure(run: Run, task: Any, error: BaseException, trace: str | None) -> Outcome:
    return _ended(
        run,
        State.DEAD_LETTER if getattr(task, "dead_letter", True) else State.FAILED,
        End.FAILED,
        result=described(task, error),
        error=_text(error),
        traceback=clean(trace, LONGEST_TRACEBACK),
    )


def described(task: Any, error: BaseException | None) -> str | None:
    """The exception as Celery's JSON (type, module, arguments), from which AsyncResult makes it again."""
    if not isinstance(error, Exception):
        return None
    try:
        text = encode("exception", task.backend.prepare_exception(error, "json"))
    except Exception:
        return None  # an exception whose arguments can't be written keeps its text in `error`
    return text if len(text) <= LONGEST_ERROR * 4 else None


def unknown_task(run: Run) -> Outcome:
    message = f"No worker here knows the task {run.task!r}: deploy the code that registers it, then requeue the job."
    if run.attempt < UNKNOWN_TASK_STARTS:
        delay = retry_delay(run.attempt, base=10.0, factor=2.0, cap=300.0, jitter=random.random())
        return _ended(run, State.RETRYING, End.RETRIED, error=message, delay=delay)
    return _ended(run, State.DEAD_LETTER, End.FAILED, error=message)


def _ended(run: Run, state: State, end: End, **fields: Any) -> Outcome:
    return Outcome(run.id, state, end, run.started_at, datetime.now(UTC), **fields)


def _text(error: Any) -> str | None:
    if error is None:
        return None
    try:
        said = str(error)
    except Exception:
        said = "(its message can't be read)"
    name = type(error).__qualname__
    return clean(f"{name}: {said}" if said else name, LONGEST_ERROR)


def killed_at_limit(run: Run, task: Any, limit: float) -> Outcome:
    """A run whose process was killed at its hard time limit: a failure like any other, retried by the policy."""
    outcome = failure(run, task, TimeLimitExceeded(limit), None)
    outcome.error = f"TimeLimitExceeded: it ran longer than its time limit of {limit:g} s and was killed"
    if policy_retries(task, run):
        outcome.state, outcome.end, outcome.spent = State.RETRYING, End.RETRIED, 1
        outcome.delay = next_delay(run.retries)
    return outcome


def stopped(run: Run) -> Outcome:
    """A run that ended because someone cancelled its job."""
    return _ended(run, State.CANCELLED, End.CANCELLED, error="cancelled while it ran")


def next_delay(retries: int) -> float:
    """Seconds before the next retry by the platform's policy, after `retries` spent ones."""
    settings = jobs_settings()
    return retry_delay(
        retries + 1,
        base=settings.retry_delay,
        factor=settings.retry_backoff,
        cap=settings.retry_backoff_max,
        jitter=random.random(),
    )
