"""The worker's thread for its database work: registration, heartbeats, lost children, refused messages.

Celery's main loop must never wait for the database, and heartbeats must go on while it sleeps in a shutdown.
"""

import json
import logging
import math
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import psycopg
from celery import bootsteps, signals
from celery.fixups.django import DjangoFixup
from celery.worker import state

from ..conf import jobs_settings
from ..engine import control, maintenance, workers
from ..engine.failpoints import failpoint
from ..engine.link import Link
from ..engine.slots import Slots
from ..engine.unready import unready
from . import pools
from .child import share
from .enforcer import CANCELS, CLOSING, Enforcer

logger = logging.getLogger("jobs")

LOOK = 0.25
"""Seconds between two looks at time limits and dead children, and at whether somebody listens to task events."""
AGAIN = 0.05
"""Seconds to the second look at a job that blocks others."""
LEAVE = 5.0
"""Seconds that the books have to be closed when the worker ends."""


class Steward(bootsteps.StartStopStep):
    """Starts after the pool, so that the first children are forked before there is a thread."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        settings = jobs_settings()
        if (reason := pools.refusal(worker.pool_cls, settings)) is not None:
            raise SystemExit(reason)
        worker.steward = self
        self.worker = worker
        self.boot = uuid4()
        self.slots = Slots(max(1024, 2 * max(worker.concurrency, getattr(worker, "max_concurrency", None) or 0)))
        self.stopping = False
        self._link = Link(f"jobs steward {worker.hostname}")
        self._work: queue.SimpleQueue = queue.SimpleQueue()
        self._grace_ends = math.inf
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._hub: Any = None
        self._looks: Any = None
        self._undone: list[Callable[[], None]] = []
        self._begun: dict[UUID, int] = {}
        self._thread: threading.Thread | None = None
        self._enforcer = Enforcer(self.slots, self._link, worker.hostname, worker.app.tasks, self._later, behind)
        # Celery's own flags: N jobs come before N messages, which are what its pool counts.
        jobs_per_child = worker.max_tasks_per_child or settings.max_jobs_per_child
        worker.max_memory_per_child = worker.max_memory_per_child or settings.max_memory_per_child or None
        share(worker.app, worker.hostname, self.slots, jobs_per_child)
        _keep_connections(worker.app)

    def start(self, worker: Any) -> None:
        if limited := pools.limited(worker.pool_cls, worker.app.tasks.values()):
            logger.warning("time limits of these tasks can't hold in this pool: %s", ", ".join(limited))
        self._register()
        self._thread = threading.Thread(target=self._serve, name="jobs-steward", daemon=True)
        self._thread.start()
        threading.Thread(target=self._watch, name="jobs-limits", daemon=True).start()
        signals.worker_shutting_down.connect(self.wind_down, weak=False)
        signals.worker_shutdown.connect(self._finish, sender=worker, weak=False)

    def stop(self, worker: Any) -> None:
        self.wind_down()

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:
        """Celery's hook at each start of its main loop."""
        self._hub = hub
        hub.add_reader(self._woken, self._woken.recv, 1024)
        if pools.can_interrupt(worker.pool_cls):
            if self._looks is not None:
                self._looks.cancel()
            self._looks = hub.call_repeatedly(LOOK, pools.replace_dead, worker.pool)

    def replace_soon(self) -> None:
        """A child process said that it ends now: its slot should not stand empty until the next look."""
        for pause in (0.01, 0.03, 0.1):
            self._hub.call_later(pause, pools.replace_dead, self.worker.pool)

    def wake(self) -> None:
        """A thread has room for another message: the main loop, which sleeps, should fetch one."""
        with suppress(BlockingIOError):
            self._waker.send(b".")

    def lost(self, token: UUID, reason: str, *, strike: bool = True) -> None:
        """A child ended while it carried a lease. Returns at once."""
        # Read now: its slot is used again. The pool tells it a second time, later, when nothing is left to read.
        begun = self.slots.begun(token)
        if begun is not None:
            self._begun[token] = begun
        self._enforcer.forget(token)
        self._later(lambda: self._lose(token, reason, strike))

    def lost_message(self, tokens: Sequence[UUID], reason: str) -> None:
        """As `lost`, of whichever lease of the message was carried; what was not begun goes back. Returns at once."""
        for token in tokens:
            self.lost(token, reason)
        self._later(partial(self._give_back_unwon, tokens, reason))

    def refuse(self, task: str, detail: str) -> None:
        """A message that is no carrier of ours. Returns at once."""
        logger.error("message refused: %s", detail, extra={"task": task})
        self._work.put(
            lambda: control.refuse_message(
                self._link, worker=self.worker.hostname, task=task, detail=json.dumps({"detail": detail})
            )
        )

    def wind_down(self, *_: Any, **__: Any) -> None:
        """Begin nothing more; what runs has the grace to end."""
        self.stopping = self.slots.stopping = True
        failpoint("K8")
        self._grace_ends = min(self._grace_ends, time.monotonic() + jobs_settings().shutdown_grace)
        self._work.put(self._beat)

    def hurry(self) -> None:
        """Nobody wants to wait for the grace."""
        self.wind_down()
        self._grace_ends = 0.0

    def _finish(self, *_: Any, **__: Any) -> None:
        """The pool has ended: say so, after what is still to do."""
        self._bury()
        for request in list(state.reserved_requests):
            if tokens := getattr(request, "tokens", None):
                self._later(partial(self._give_back_unwon, tokens, "its worker was shut down"))
        self._work.put(None)
        if self._thread is not None:
            self._thread.join(timeout=LEAVE)

    def _serve(self) -> None:
        beat_at = time.monotonic() + jobs_settings().heartbeat_interval
        cancels_at = 0.0
        while True:
            try:
                work = self._work.get(timeout=max(0.01, min(LOOK, beat_at - time.monotonic())))
            except queue.Empty:
                work = self._listen
            if work is None:
                return self._close()
            self._attempt(work)
            if time.monotonic() >= cancels_at:
                cancels_at = time.monotonic() + CANCELS
                self._work.put(self._enforcer.cancels)
                self._work.put(self._enforcer.slow)
            if time.monotonic() >= beat_at:
                beat_at = time.monotonic() + (jobs_settings().heartbeat_interval if self._attempt(self._beat) else LOOK)

    def _attempt(self, work: Callable[[], Any]) -> Any:
        """Whatever goes wrong, heartbeats go on."""
        try:
            return work()
        except Exception:
            logger.warning("the worker's books could not be written", exc_info=True)
            return None

    def _close(self) -> None:
        try:
            for work in self._undone:
                work()
            workers.stop(self._link, self.boot)
        except Exception as error:
            logger.warning("the worker's end is not on record: the sweep will see it: %s", str(error).strip())

    def _watch(self) -> None:
        """Apart from the books: a time limit must not wait for a database that is away."""
        pause = LOOK
        while True:
            time.sleep(pause)
            try:
                self._enforcer.limits()
                self._bury()
                pause = AGAIN if self._enforcer.relieve() else LOOK
                if time.monotonic() >= self._grace_ends:
                    self._end_grace()
            except Exception:
                logger.exception("running jobs could not be looked at")
                pause = LOOK

    def _bury(self) -> None:
        for token in self._enforcer.dead():
            reason = "its worker was shut down" if self.stopping else "its process died"
            self.lost(token, reason, strike=not self.stopping)

    def _end_grace(self) -> None:
        self._enforcer.give_back(closing=time.monotonic() >= self._grace_ends + CLOSING)
        here = self._enforcer.here()
        if here:
            # A thread can't be ended without its process.
            for token in here:
                self.lost(token, "its worker was shut down", strike=False)
            self._finish()
            logging.shutdown()
            os._exit(0)

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
            except psycopg.Error as error:
                said = unready(error)
                if said is None and not isinstance(error, psycopg.OperationalError):
                    raise
                logger.warning("the worker waits for its database: %s", said or str(error).strip())
                if threading.current_thread() is threading.main_thread():
                    state.maybe_shutdown()
                time.sleep(pause)
                pause = min(5.0, pause * 2)

    def _lose(self, token: UUID, reason: str, strike: bool) -> None:
        self._enforcer.settle(token)
        failpoint("K10")
        begun = self._begun.get(token)
        maintenance.lose(
            self._link, token, jobs_settings(), won=True, begun=begun, reason=reason, strike=strike, worker=self.boot
        )
        self._begun.pop(token, None)

    def _give_back_unwon(self, tokens: Sequence[UUID], reason: str) -> None:
        """Of a message that no child came to, or not to its end."""
        maintenance.give_back_unwon(self._link, tokens, jobs_settings(), reason=reason)

    def _later(self, work: Callable[[], None]) -> None:
        self._work.put(lambda: self._insist(work))

    def _insist(self, work: Callable[[], None]) -> None:
        """Do it now, or after the next heartbeat if it went wrong: no sweep takes back what a live worker has won."""
        try:
            work()
        except Exception:
            self._undone.append(lambda: self._insist(work))
            raise

    def _capacity(self) -> int:
        return getattr(self.worker.pool, "num_processes", None) or self.worker.concurrency

    def _listen(self) -> None:
        """Jobs tell their events only while somebody listens to them."""
        events = getattr(self.worker.consumer, "event_dispatcher", None)
        self.slots.listening = bool(events and events.enabled and (not events.groups or "task" in events.groups))


def behind(token: UUID) -> Sequence[UUID]:
    """The leases that the message with this one has behind it."""
    for request in list(state.reserved_requests):
        if token in (tokens := getattr(request, "tokens", ())):
            return tokens[tokens.index(token) + 1 :]
    return ()


def _keep_connections(app: Any) -> None:
    """Celery closes Django's connections before and after every task; `tidy_connections` does what is needed."""
    for fixup in app._fixups:
        if isinstance(fixup, DjangoFixup):
            signals.task_prerun.disconnect(fixup.worker_fixup.on_task_prerun)
            signals.task_postrun.disconnect(fixup.worker_fixup.on_task_postrun)
