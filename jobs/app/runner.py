"""Run one job through Celery's own tracer, with its signals and callbacks, and say how it ended."""

import logging
import socket
from typing import Any

from billiard.common import terminate_handler_fired
from celery import Celery, states
from celery.app.trace import TraceInfo, build_tracer
from celery.exceptions import Retry
from django.db import connections

from ..engine.execute import Place, Run
from ..policy import Outcome
from ..states import State
from .current import Current, current, enter, leave
from .events import TaskEvents
from .interrupts import JobCancelled, interruptible, is_cancelled
from .outcomes import failure, outcome_of, policy_retries, stopped, unknown_task

logger = logging.getLogger("jobs")


class JobTraceInfo(TraceInfo):
    """Celery's reaction to an exception, after the platform's retry policy was asked."""

    state: str
    retval: Any

    def handle_error_state(self, task: Any, req: Any, eager: bool = False, call_errbacks: bool = True) -> Any:
        running = current()
        if self.state == states.FAILURE and running is not None and policy_retries(task, running.run):
            running.policy_retry = self.retval
            self.state = states.RETRY
            self.retval = Retry(f"{type(self.retval).__name__}, will retry", exc=self.retval)
        return super().handle_error_state(task, req, eager=eager, call_errbacks=call_errbacks)


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
            return unknown_task(run), None
        try:
            with interruptible(running):
                traced = self._tracer(task)(running.task_id, run.args, run.kwargs, request_of(run, running.task_id))
            outcome = outcome_of(running, task, traced)
            gave_in = isinstance(getattr(traced.info, "retval", None), JobCancelled)
            if gave_in or (outcome.state != State.COMPLETED and is_cancelled(self._place, running)):
                outcome = stopped(run)
            return outcome, traced
        except JobCancelled:
            return stopped(run), None
        except BaseException as error:
            if isinstance(error, SystemExit) and (terminate_handler_fired() or self._place.slots.stopping):
                raise  # the worker's end, not the job's: its lease is taken back
            # SystemExit and MemoryError end the run, not the worker: the row must say what happened.
            logger.exception("job ended its process' control flow", extra={"job_id": str(run.id), "task": run.task})
            return failure(run, task, error, None), None

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
        "timelimit": [run.time_limit, run.soft_time_limit],
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


def tidy_connections() -> None:
    """Keep Django's connections from job to job, but never one that the last job left in a transaction or broken."""
    for connection in connections.all(initialized_only=True):
        if connection.connection is None:
            continue
        if connection.in_atomic_block or not connection.get_autocommit() or connection.errors_occurred:
            # In an open block Django would keep the closed connection, and refuse the next job a new one.
            connection.in_atomic_block = connection.closed_in_transaction = False
            connection.close()
        else:
            connection.close_if_unusable_or_obsolete()
