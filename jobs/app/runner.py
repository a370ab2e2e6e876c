"""Run one job through Celery's own tracer, with its signals and callbacks, and say how it ended."""

import logging
import os
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from billiard.common import terminate_handler_fired
from celery import Celery, states
from celery.app import trace
from celery.app.task import Context
from celery.exceptions import MaxRetriesExceededError

from ..engine.execute import Place, Run
from ..policy import Outcome, in_time
from ..states import State
from .current import Current, enter, leave
from .events import TaskEvents
from .failing import chord_error_of, chord_failure
from .interrupts import JobCancelled, interruptible, is_cancelled
from .outcomes import failed, failure, in_canvas, outcome_of, stopped, unknown_task
from .plain import is_unwatched, plain_body, run_plain
from .request import request_of
from .retrying import retry_until
from .tidy import Surroundings, tidy_connections, watch_connections
from .trace import JobTraceInfo

logger = logging.getLogger("jobs")


class Runner:
    """Runs jobs in one child process or thread; keeps a tracer per task."""

    def __init__(self, app: Celery, place: Place) -> None:
        self._app = app
        self._place = place
        self._tracers: dict[str, Any] = {}
        self._bodies: dict[str, Callable[..., Any] | None] = {}
        self._events = TaskEvents(app, place.node)
        self._surroundings = Surroundings()
        if not place.keeps_connections:
            watch_connections()

    def __call__(self, run: Run) -> Outcome:
        running = Current(run, self._place, run.options.get("task_id") or str(run.id))
        token = enter(running)
        listening = self._place.slots.listening
        try:
            if listening:
                self._events.started(run, running.task_id)
            # In a copy: context variables, an activated time zone or language among them, end with the job.
            outcome, traced = copy_context().run(self._traced, running)
            outcome = running.committed or in_canvas(running, outcome)
            if listening:
                self._events.ended(running.task_id, outcome, traced)
            return outcome
        finally:
            leave(token)
            if not self._place.keeps_connections:
                tidy_connections()
            self._surroundings.restore()

    def flush(self) -> None:
        self._events.flush()

    def _traced(self, running: Current) -> tuple[Outcome, Any]:
        run = running.run
        task = self._app.tasks.get(run.task)
        if task is None:
            return unknown_task(run), None
        try:
            if chord_error := chord_error_of(run):
                return chord_failure(running, task, chord_error), None
            if run.retries and (late := in_time(0.0, now=run.started_at, until=retry_until(run))).delay is None:
                running.verdict = late
                return self._out_of_time(running, task), None
            with interruptible(running):
                traced = self._in_this_process(task, running)
            outcome = outcome_of(running, task, traced)
            gave_in = isinstance(getattr(traced.info, "retval", None), JobCancelled)
            ended = outcome.state in (State.COMPLETED, State.CANCELLED)
            if gave_in or (not ended and is_cancelled(self._place, running)):
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

    def _out_of_time(self, running: Current, task: Any) -> Outcome:
        """A retry that comes too late is a final failure, with Celery's signals and callbacks, and is not run."""
        run = running.run
        shown = request_of(run, running.task_id, self._place.node)
        request = Context(shown, args=run.args, kwargs=run.kwargs, called_directly=False)
        try:
            raise MaxRetriesExceededError(f"Can't retry {run.task}[{running.task_id}]")
        except MaxRetriesExceededError as error:
            JobTraceInfo(states.FAILURE, error).handle_error_state(task, request)
            return failed(running, task, error, None)

    def _in_this_process(self, task: Any, running: Current) -> Any:
        run, pid = running.run, os.getpid()
        shown = request_of(run, running.task_id, self._place.node)
        try:
            body = self._body(task) if self._is_plain(run) else None
            if body is not None:
                return run_plain(body, task, running, shown)
            return self._tracer(task)(running.task_id, run.args, run.kwargs, shown)
        finally:
            if os.getpid() != pid:
                os._exit(0)  # a process that the task forked, and that came back here, is nobody's worker

    def _is_plain(self, run: Run) -> bool:
        given = run.options
        followed = given and (given.get("link") or given.get("chain"))
        return not followed and type(run.kwargs) is dict and not self._place.slots.listening and is_unwatched()

    def _body(self, task: Any) -> Callable[..., Any] | None:
        if task.name not in self._bodies:
            self._bodies[task.name] = plain_body(task)
        return self._bodies[task.name]

    def _tracer(self, task: Any) -> Any:
        tracer = self._tracers.get(task.name)
        if tracer is None:
            tracer = self._tracers[task.name] = trace.build_tracer(
                task.name, task, self._app.loader, self._place.node, Info=JobTraceInfo, app=self._app
            )
        return tracer
