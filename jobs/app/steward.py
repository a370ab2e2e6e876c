"""The worker's thread for its database work: registration, heartbeats, lost children, refused messages.

Celery's main loop must never wait for the database, and heartbeats must go on while it sleeps in a shutdown.
"""

import json
import logging
import math
import queue
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg
from celery import bootsteps, signals
from celery.fixups.django import DjangoFixup

from ..conf import jobs_settings
from ..engine import control, maintenance, workers
from ..engine.link import Link
from ..engine.slots import Slots
from .child import share
from .enforcer import CANCELS, Enforcer

logger = logging.getLogger("jobs")

LOOK = 0.25
"""Seconds between two looks at time limits, and at whether somebody listens to task events."""


class Steward(bootsteps.StartStopStep):
    """Starts after the pool, so that the first children are forked before there is a thread."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        worker.steward = self
        self.worker = worker
        self.boot = uuid4()
        self.slots = Slots()
        self.stopping = False
        self._link = Link(f"jobs steward {worker.hostname}")
        self._work: queue.SimpleQueue = queue.SimpleQueue()
        self._grace_ends = math.inf
        self._undone: list[Callable[[], None]] = []
        self._thread: threading.Thread | None = None
        self._enforcer = Enforcer(self.slots, self._link, worker.hostname, worker.app.tasks, self._later)
        share(worker.app, worker.hostname, self.slots)
        _keep_connections(worker.app)

    def start(self, worker: Any) -> None:
        self._register()
        self._thread = threading.Thread(target=self._serve, name="jobs-steward", daemon=True)
        self._thread.start()
        threading.Thread(target=self._watch, name="jobs-limits", daemon=True).start()
        signals.worker_shutting_down.connect(self.wind_down, weak=False)
        signals.worker_shutdown.connect(self._finish, sender=worker, weak=False)

    def stop(self, worker: Any) -> None:
        self.wind_down()

    def lost(self, token: UUID, reason: str, *, strike: bool = True) -> None:
        """A child ended while it carried a lease. Returns at once."""
        # Read now: the child's successor writes over its slot.
        begun = self.slots.begun(token)
        self._enforcer.forget(token)
        self._later(lambda: self._lose(token, reason, begun, strike))

    def refuse(self, task: str, detail: str) -> None:
        """A message that is no carrier of ours. Returns at once."""
        logger.error("message refused: %s", detail, extra={"task": task})
        self._work.put(
            lambda: control.refuse_message(
                self._link, worker=self.worker.hostname, task=task, detail=json.dumps({"detail": detail})
            )
        )

    def wind_down(self, *_: Any, **__: Any) -> None:
        self.stopping = self.slots.stopping = True
        self._grace_ends = min(self._grace_ends, time.monotonic() + jobs_settings().shutdown_grace)
        self._work.put(self._beat)

    def _finish(self, *_: Any, **__: Any) -> None:
        """The pool has ended: say so, after what is still to do."""
        self._work.put(None)
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _serve(self) -> None:
        beat_at = time.monotonic() + jobs_settings().heartbeat_interval
        cancels_at = 0.0
        while True:
            try:
                work = self._work.get(timeout=max(0.01, min(LOOK, beat_at - time.monotonic())))
                if work is None:
                    workers.stop(self._link, self.boot)
                    return
                work()
            except queue.Empty:
                self.slots.listening = self._somebody_listens()
            except Exception:
                # Whatever it was, heartbeats go on; what was not written, the dispatcher's sweep finds.
                logger.warning("the worker's books could not be written: the sweep will", exc_info=True)
            if time.monotonic() >= cancels_at:
                cancels_at = time.monotonic() + CANCELS
                self._work.put(self._enforcer.cancels)
            if time.monotonic() >= beat_at:
                beat_at = time.monotonic() + (jobs_settings().heartbeat_interval if self._beat() else LOOK)

    def _watch(self) -> None:
        """Apart from the books: a time limit must not wait for a database that is away."""
        while True:
            time.sleep(LOOK)
            try:
                self._enforcer.limits()
                if time.monotonic() >= self._grace_ends:
                    self._enforcer.give_back()
            except Exception:
                logger.exception("time limits could not be looked at")

    def _beat(self) -> bool:
        try:
            if not workers.heartbeat(self._link, self.boot, slots=self._capacity(), stopping=self.stopping):
                logger.error("this worker was presumed dead: its jobs went to others, it starts anew")
                self.boot = uuid4()
                self._register()
        except psycopg.Error as error:
            logger.warning("heartbeat not written, trying again: %s", str(error).strip())
            return False
        undone, self._undone = self._undone, []
        for work in undone:
            self._work.put(work)
        return True

    def _register(self) -> None:
        pause = 0.1
        while True:
            try:
                workers.register(
                    self._link,
                    self.boot,
                    name=self.worker.hostname,
                    slots=self._capacity(),
                    queues=self.worker.served_queues,
                )
                return
            except psycopg.OperationalError as error:
                logger.warning("the database is away, the worker waits for it: %s", str(error).strip())
                time.sleep(pause)
                pause = min(5.0, pause * 2)

    def _lose(self, token: UUID, reason: str, begun: int | None, strike: bool) -> None:
        self._enforcer.settle(token)
        maintenance.lose(self._link, token, jobs_settings(), won=True, begun=begun, reason=reason, strike=strike)

    def _later(self, work: Callable[[], None]) -> None:
        self._work.put(lambda: self._insist(work))

    def _insist(self, work: Callable[[], None]) -> None:
        """Do it now, or after the next heartbeat: no sweep takes back what a live worker has won."""
        try:
            work()
        except psycopg.Error:
            self._undone.append(lambda: self._insist(work))
            raise

    def _capacity(self) -> int:
        return getattr(self.worker.pool, "num_processes", None) or self.worker.concurrency

    def _somebody_listens(self) -> bool:
        dispatcher = getattr(self.worker.consumer, "event_dispatcher", None)
        return bool(dispatcher and dispatcher.enabled and (not dispatcher.groups or "task" in dispatcher.groups))


def _keep_connections(app: Any) -> None:
    """Celery closes Django's connections before and after every task; `tidy_connections` does what is needed."""
    for fixup in app._fixups:
        if isinstance(fixup, DjangoFixup):
            signals.task_prerun.disconnect(fixup.worker_fixup.on_task_prerun)
            signals.task_postrun.disconnect(fixup.worker_fixup.on_task_postrun)
