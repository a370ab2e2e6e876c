"""How a run ended, as a value to record."""

import logging
import random
from datetime import UTC, datetime
from typing import Any

from celery import states
from celery.exceptions import TimeLimitExceeded

from ..conf import jobs_settings
from ..engine.execute import Run
from ..engine.finish import LONGEST_ERROR, LONGEST_TRACEBACK, clean
from ..engine.payload import encode
from ..errors import InvalidJob
from ..policy import Outcome, retry_delay
from ..states import FINAL, End, State
from .current import Current
from .frames import own_traceback
from .retrying import verdict
from .wishes import JobDiscarded, JobSnoozed

logger = logging.getLogger("jobs")


def outcome_of(running: Current, task: Any, traced: Any) -> Outcome:
    run, info = running.run, traced.info
    wish = running.wish or (info and info.retval)
    if isinstance(wish, JobSnoozed):
        return _again_later(run, wish.seconds)
    if isinstance(wish, JobDiscarded):
        return _ended(run, State.CANCELLED, End.CANCELLED, error=clean(str(wish), LONGEST_ERROR))
    if info is None and running.again is None:
        return _success(running, traced.retval)
    if running.again is not None or info.state == states.RETRY:
        return retried(running, task, info)
    if info.state == states.IGNORED and running.replaced:
        return followed(running, _ended(run, State.BLOCKED, End.COMPLETED))
    if info.state == states.IGNORED:
        return _success(running, None)
    if info.state == states.REJECTED:
        if getattr(info.retval, "requeue", False):
            return _again_later(run, jobs_settings().reject_delay, error=_text(info.retval))
        return _ended(run, State.DEAD_LETTER, End.FAILED, error=_text(info.retval))
    return failed(running, task, info.retval, getattr(traced.retval, "traceback", None))


def _again_later(run: Run, delay: float, error: str | None = None) -> Outcome:
    """Neither a retry nor an attempt was spent."""
    return _ended(run, State.SCHEDULED, End.RETRIED, delay=delay, error=error)


def followed(running: Current, outcome: Outcome) -> Outcome:
    outcome.next_jobs, outcome.next_chords = running.next_jobs, running.next_chords
    return outcome


def in_canvas(running: Current, outcome: Outcome) -> Outcome:
    """What others have to know of a job's end: the chord that it counts in, the jobs that it called."""
    outcome.in_chord = running.run.in_chord
    if outcome.state in FINAL:
        outcome.children = described_children(running)
    return outcome


def described_children(running: Current) -> str | None:
    """The jobs that a run called, as JSON for `AsyncResult.children`."""
    if not running.children:
        return None
    try:
        return encode("children", [child.as_tuple() for child in running.children])
    except InvalidJob as reason:
        logger.warning("a job's children are not kept: %s", reason, extra={"job_id": str(running.run.id)})
        return None


def _success(running: Current, value: Any) -> Outcome:
    run, result, error = running.run, None, None
    if value is not None and not run.options.get("ignore_result"):
        try:
            result = encode("result", value)
        except Exception as reason:  # its own __json__ may raise anything
            # The work is done: running it again would do it twice.
            said = str(reason) if isinstance(reason, InvalidJob) else _text(reason)
            error = clean(f"completed, but its result is not kept: {said}", LONGEST_ERROR)
    outcome = _ended(run, State.COMPLETED, End.COMPLETED, result=result, error=error)
    return followed(running, outcome)


def retried(running: Current, task: Any, info: Any) -> Outcome:
    run, again = running.run, running.again
    raised = info and info.retval
    cause = running.policy_retry or (again and again.cause) or getattr(raised, "exc", None)
    # The failure's own frames, not those of the retry that it became.
    told = next((error for error in (cause, raised) if error is not None and error.__traceback__), None)
    trace = told and own_traceback(told)
    if again is None and running.policy_retry is None:
        # A bare `raise Retry` asks Celery for nothing; without the policy's limit it would run for ever.
        running.verdict = verdict(task, run, raised, now=running.now())
        if running.verdict.delay is None:
            return failed(running, task, cause or raised, trace)
    return _ended(
        run,
        State.RETRYING,
        End.RETRIED,
        error=_text(cause),
        result=described(task, cause),
        traceback=clean(trace, LONGEST_TRACEBACK),
        spent=1,
        delay=again.delay if again is not None else running.verdict and running.verdict.delay,
        args=again and again.args,
        kwargs=again and again.kwargs,
        queue=again and again.queue,
        priority=again and again.priority,
        options=again and again.options,
    )


def failed(running: Current, task: Any, error: BaseException, trace: str | None) -> Outcome:
    """A final failure, with the jobs that follow from it and the reason if it could have been retried."""
    outcome = failure(running.run, task, error, trace)
    followed(running, outcome)
    if running.verdict is not None and running.verdict.why:
        outcome.error = f"{outcome.error} ({running.verdict.why})"
    return outcome


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
        return None  # the task's own class may break here in any way; its text and traceback are kept all the same
    return text if len(text) <= LONGEST_ERROR * 4 else None


def unknown_task(run: Run) -> Outcome:
    message = f"No worker here knows the task {run.task!r}: deploy the code that registers it, then requeue the job."
    settings = jobs_settings()
    if run.attempt > settings.unknown_task_retries:
        return _ended(run, State.DEAD_LETTER, End.FAILED, error=message)
    delay = retry_delay(
        run.attempt,
        base=settings.unknown_task_delay,
        factor=settings.retry_backoff,
        cap=settings.retry_backoff_max,
        spread=settings.retry_jitter,
        dice=random.random(),
    )
    return _ended(run, State.RETRYING, End.RETRIED, error=message, delay=delay)


def _ended(run: Run, state: State, end: End, **fields: Any) -> Outcome:
    return Outcome(run.id, state, end, run.started_at, datetime.now(UTC), **fields)


def _text(error: Any) -> str | None:
    if error is None:
        return None
    try:
        said = str(error)
    except Exception:  # the task's own __str__
        said = "(its message can't be read)"
    name = type(error).__qualname__
    return clean(f"{name}: {said}" if said else name, LONGEST_ERROR)


def killed_at_limit(run: Run, task: Any, limit: float) -> Outcome:
    """A run whose process was killed at its hard time limit: a failure like any other, retried by the policy.

    What it had done by then nobody knows: where a loss is final, so is this.
    """
    error = TimeLimitExceeded(limit)
    outcome = failure(run, task, error, None)
    outcome.error = f"TimeLimitExceeded: it ran longer than its time limit of {limit:g} s and was killed"
    if run.options.get("on_lost") == "dead_letter":
        outcome.state = State.DEAD_LETTER
        outcome.error += (
            "; on_lost='dead_letter' forbids a second start. "
            "Check what it has done, then requeue it if it is to run again"
        )
        return outcome
    said = verdict(task, run, error, now=outcome.finished_at)
    if said.delay is not None:
        outcome.state, outcome.end, outcome.spent, outcome.delay = State.RETRYING, End.RETRIED, 1, said.delay
    elif said.why:
        outcome.error += f" ({said.why})"
    return outcome


def stopped(run: Run) -> Outcome:
    """A run that ended because someone cancelled its job."""
    return _ended(run, State.CANCELLED, End.CANCELLED, error="cancelled while it ran")
