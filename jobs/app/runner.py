"""Run one job through Celery's own tracer, with its signals and callbacks, and say how it ended."""

import logging
import random
import socket
import traceback
from datetime import UTC, datetime
from typing import Any

from celery import Celery, states
from celery.app.trace import TraceInfo, build_tracer
from celery.exceptions import Retry
from django.db import connections

from ..conf import jobs_settings
from ..engine.enqueue import encode
from ..engine.execute import Place, Run
from ..engine.record import LONGEST_ERROR, LONGEST_TRACEBACK, clean
from ..errors import InvalidJob
from ..policy import Outcome, may_retry, retry_delay
from ..states import End, State
from .current import Current, current, enter, leave
from .events import TaskEvents

logger = logging.getLogger("jobs")

UNKNOWN_TASK_STARTS = 6
"""Starts after which a job whose task no worker knows is a dead letter; until then a deployment may bring it."""


class JobTraceInfo(TraceInfo):
    """Celery's reaction to an exception, after the platform's retry policy was asked."""

    state: str
    retval: Any

    def handle_error_state(self, task: Any, req: Any, eager: bool = False, call_errbacks: bool = True) -> Any:
        running = current()
        if self.state == states.FAILURE and running is not None and _policy_retries(task, running.run):
            running.policy_retry = self.retval
            self.state = states.RETRY
            self.retval = Retry(f"{type(self.retval).__name__}, will retry", exc=self.retval)
        return super().handle_error_state(task, req, eager=eager, call_errbacks=call_errbacks)


def _policy_retries(task: Any, run: Run) -> bool:
    """A task that names its exceptions in `autoretry_for` retries only those, by itself."""
    return not getattr(task, "autoretry_for", None) and may_retry(run.retries, run.max_retries)


class Runner:
    """Runs jobs in one child process or thread; keeps a tracer per task."""

    def __init__(self, app: Celery, place: Place) -> None:
        self._app = app
        self._place = place
        self._tracers: dict[str, Any] = {}
        self._events = TaskEvents(app, place.node)

    def __call__(self, run: Run) -> Outcome:
        running = Current(run, self._place, run.options.get("task_id") or str(run.id))
        token = enter(running)
        listening = self._place.slots.listening
        try:
            if listening:
                self._events.started(run, running.task_id)
            outcome, traced = self._traced(running)
            if listening:
                self._events.ended(running.task_id, outcome, traced)
            return outcome
        finally:
            leave(token)
            tidy_connections()

    def flush(self) -> None:
        self._events.flush()

    def _traced(self, running: Current) -> tuple[Outcome, Any]:
        run = running.run
        task = self._app.tasks.get(run.task)
        if task is None:
            return _unknown_task(run), None
        try:
            traced = self._tracer(task)(running.task_id, run.args, run.kwargs, request_of(run, running.task_id))
            return _outcome(running, task, traced), traced
        except BaseException as error:
            if isinstance(error, SystemExit) and self._place.slots.stopping:
                raise  # the worker's end, not the job's: its lease is taken back
            # SystemExit and MemoryError end the run, not the worker: the row must say what happened.
            logger.exception("job ended its process' control flow", extra={"job_id": str(run.id), "task": run.task})
            return _failure(run, task, error, None), None

    def _tracer(self, task: Any) -> Any:
        tracer = self._tracers.get(task.name)
        if tracer is None:
            tracer = self._tracers[task.name] = build_tracer(
                task.name, task, self._app.loader, self._place.node, Info=JobTraceInfo, app=self._app
            )
        return tracer


def request_of(run: Run, task_id: str) -> dict[str, Any]:
    """What `self.request` shows: the same as under stock Celery."""
    given = run.options
    headers = given.get("headers") or {}
    return {
        **headers,
        "id": task_id,
        "task": run.task,
        "retries": run.retries,
        "headers": headers,
        "shadow": given.get("shadow"),
        "root_id": given.get("root_id") or task_id,
        "parent_id": given.get("parent_id"),
        "group": given.get("group_id"),
        "group_index": given.get("group_index"),
        "chord": None,
        "chain": given.get("chain"),
        "callbacks": given.get("link"),
        "errbacks": given.get("link_error"),
        "delivery_info": {"exchange": "", "routing_key": run.queue, "priority": run.priority, "redelivered": False},
        "timelimit": [None, None],
        "expires": run.expires_at,
        "eta": None,
        "hostname": socket.gethostname(),
        "is_eager": False,
        "ignore_result": given.get("ignore_result", False),
        "reply_to": given.get("reply_to"),
        "correlation_id": task_id,
        "origin": None,
        "argsrepr": None,
        "kwargsrepr": None,
        "properties": {},
        "stamped_headers": given.get("stamped_headers") or [],
        "stamps": {name: given.get(name) for name in given.get("stamped_headers") or []},
        "replaced_task_nesting": given.get("replaced_task_nesting", 0),
        "utc": True,
    }


def _outcome(running: Current, task: Any, traced: Any) -> Outcome:
    run, info = running.run, traced.info
    if info is None and running.again is None:
        return _success(running, traced.retval)
    if running.again is not None or info.state == states.RETRY:
        return _retry(running, task, info, traced)
    if info.state == states.IGNORED:
        return _success(running, None)
    if info.state == states.REJECTED:
        if getattr(info.retval, "requeue", False):
            return _ended(run, State.RETRYING, End.RETRIED, error=_text(info.retval), delay=1.0)
        return _ended(run, State.DEAD_LETTER, End.FAILED, error=_text(info.retval))
    outcome = _failure(run, task, info.retval, getattr(traced.retval, "traceback", None))
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


def _retry(running: Current, task: Any, info: Any, traced: Any) -> Outcome:
    run, settings, again = running.run, jobs_settings(), running.again
    cause = running.policy_retry or getattr(info and info.retval, "exc", None)
    if running.policy_retry is None and again is None and not may_retry(run.retries, run.max_retries):
        # A bare `raise Retry` asks Celery for nothing; without this limit it would run for ever.
        return _failure(run, task, cause or info.retval, getattr(traced.retval, "traceback", None))
    outcome = _ended(
        run,
        State.RETRYING,
        End.RETRIED,
        error=_text(cause),
        result=_described(task, cause),
        traceback=_traceback(running, traced),
        spent=1,
    )
    if running.policy_retry is None and again is not None:
        outcome.delay, outcome.args, outcome.kwargs = again.delay, again.args, again.kwargs
    else:
        outcome.delay = retry_delay(
            run.retries + 1,
            base=settings.retry_delay,
            factor=settings.retry_backoff,
            cap=settings.retry_backoff_max,
            jitter=random.random(),
        )
    return outcome


def _traceback(running: Current, traced: Any) -> str | None:
    """The failure's own frames, not those of the retry that it became."""
    if running.policy_retry is not None:
        return clean("".join(traceback.format_exception(running.policy_retry)), LONGEST_TRACEBACK)
    return clean(getattr(traced.retval, "traceback", None), LONGEST_TRACEBACK)


def _failure(run: Run, task: Any, error: BaseException, trace: str | None) -> Outcome:
    return _ended(
        run,
        State.DEAD_LETTER if getattr(task, "dead_letter", True) else State.FAILED,
        End.FAILED,
        result=_described(task, error),
        error=_text(error),
        traceback=clean(trace, LONGEST_TRACEBACK),
    )


def _described(task: Any, error: BaseException | None) -> str | None:
    """The exception as Celery's JSON (type, module, arguments), from which AsyncResult makes it again."""
    if not isinstance(error, Exception):
        return None
    try:
        text = encode("exception", task.backend.prepare_exception(error, "json"))
    except Exception:
        return None  # an exception whose arguments can't be written keeps its text in `error`
    return text if len(text) <= LONGEST_ERROR * 4 else None


def _unknown_task(run: Run) -> Outcome:
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


def tidy_connections() -> None:
    """Keep Django's connections from job to job, but never one that the last job left in a transaction or broken."""
    for connection in connections.all(initialized_only=True):
        if connection.connection is None:
            continue
        if connection.in_atomic_block or not connection.get_autocommit() or connection.errors_occurred:
            # In an open block Django would keep the closed connection, and refuse the next job a new one.
            connection.in_atomic_block = False
            connection.close()
        else:
            connection.close_if_unusable_or_obsolete()
