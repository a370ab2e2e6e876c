"""Celery task events, one per job, for Flower: sent by the child, only while something listens."""

import logging
import time
from typing import Any

from celery import Celery

from ..engine.execute import Run
from ..policy import Outcome
from ..states import End

logger = logging.getLogger("jobs")

PAUSE = 5.0
"""Seconds without events after the broker refused one: events must never hold up a job."""


class TaskEvents:
    """A dispatcher of buffered events; every failure silences it for a while."""

    def __init__(self, app: Celery, node: str) -> None:
        self._app = app
        self._node = node
        self._dispatcher: Any = None
        self._silent_until = 0.0

    def started(self, run: Run, task_id: str) -> None:
        self._send(
            "task-received",
            uuid=task_id,
            name=run.task,
            **arguments_of(run),
            root_id=run.options.get("root_id") or task_id,
            parent_id=run.options.get("parent_id"),
            retries=run.retries,
            eta=None,
            expires=None,
        )
        self._send("task-started", uuid=task_id)
        if run.alone:
            self.flush()

    def ended(self, task_id: str, outcome: Outcome, traced: Any) -> None:
        error = {"exception": outcome.error or "", "traceback": outcome.traceback or ""}
        if outcome.end == End.COMPLETED:
            runtime = getattr(traced, "runtime", None) or 0.0
            self._send("task-succeeded", uuid=task_id, result=getattr(traced, "retstr", None) or "", runtime=runtime)
        elif outcome.end == End.RETRIED:
            self._send("task-retried", uuid=task_id, **error)
        else:
            self._send("task-failed", uuid=task_id, **error)

    def flush(self) -> None:
        if self._dispatcher is not None:
            self._guarded(self._dispatcher.flush, errors=False)

    def _send(self, kind: str, **fields: Any) -> None:
        if time.monotonic() >= self._silent_until:
            self._guarded(self._open, kind, fields)

    def _open(self, kind: str, fields: dict[str, Any]) -> None:
        if self._dispatcher is None:
            self._dispatcher = self._app.events.Dispatcher(
                self._app.connection_for_write(connect_timeout=1),
                hostname=self._node,
                buffer_group={"task"},
                buffer_while_offline=False,
            )
        self._dispatcher.send(kind, **fields)

    def _guarded(self, call: Any, *args: Any, **kwargs: Any) -> None:
        try:
            call(*args, **kwargs)
        except Exception as error:
            logger.info("task events are silent for a while: %s", error)
            self._dispatcher = None
            self._silent_until = time.monotonic() + PAUSE


def arguments_of(run: Run) -> dict[str, str]:
    """Its arguments as the call wants them shown."""
    shown = {"args": run.options.get("argsrepr") or repr(run.args)}
    shown["kwargs"] = run.options.get("kwargsrepr") or repr(run.kwargs)
    return {name: text[:500] for name, text in shown.items()}
