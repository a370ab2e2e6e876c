"""Ends running jobs from the worker's main process: over their time limit, or cancelled."""

import logging
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID

from ..conf import jobs_settings
from ..engine.execute import Run, held
from ..engine.link import Link
from ..engine.maintenance import lose
from ..engine.record import record_one
from ..engine.slots import Running, Slots
from ..policy import Outcome
from .interrupts import CANCEL_SIGNAL
from .outcomes import killed_at_limit, stopped

logger = logging.getLogger("jobs")

CANCELS = 0.5
"""Seconds between two looks at which running jobs someone wants to stop; jobs shorter than that are not looked up."""


class Enforcer:
    """Looks at what each child runs; `later` does a piece of database work until it succeeds."""

    def __init__(
        self,
        slots: Slots,
        link: Link,
        node: str,
        tasks: Mapping[str, Any],
        later: Callable[[Callable[[], None]], None],
    ) -> None:
        self._slots = slots
        self._link = link
        self._node = node
        self._tasks = tasks
        self._later = later
        self._owed: dict[UUID, Callable[[], None]] = {}

    def settle(self, token: UUID) -> None:
        """Write what is known of a killed job; must come before its lease is taken back. Raises while it can't."""
        if (work := self._owed.get(token)) is not None:
            work()
            self._owed.pop(token, None)

    def limits(self) -> None:
        """Kill what is over its hard limit. No database is asked."""
        now = time.monotonic()
        for index, running in self._slots.running():
            if running.limit and now - running.started > running.limit:
                self._kill_late(index, running)

    def cancels(self) -> None:
        """Ask, and after the grace force, the end of jobs that were cancelled."""
        now = time.monotonic()
        long = {run.job_id: (index, run) for index, run in self._slots.running() if now - run.started > CANCELS}
        if not long:
            return
        for job_id, since in self._link.rows("cancel_requested", ids=list(long)):
            index, running = long[job_id]
            asked = self._slots.is_to_stop(index, job_id)
            self._slots.ask_to_stop(index, job_id)
            if running.pid == os.getpid():
                continue  # a thread can only look by itself
            if asked and since > jobs_settings().cancel_grace:
                self._kill(index, running, "it was cancelled", stopped)
            else:
                _signal(running.pid, CANCEL_SIGNAL)

    def give_back(self) -> None:
        """The worker has to end now: what still runs is ended and runs again elsewhere, without blame."""
        for index, running in self._slots.running():
            if running.pid != os.getpid():
                self._give_back_one(index, running)

    def _give_back_one(self, index: int, running: Running) -> None:
        if self._end(index, running, lambda: self._return(running)):
            logger.warning("job given back: the worker shuts down", extra={"job_id": str(running.job_id)})

    def _return(self, running: Running) -> None:
        reason = "its worker was shut down"
        settings = jobs_settings()
        lose(self._link, running.token, settings, won=True, begun=running.begun, reason=reason, strike=False)

    def forget(self, token: UUID) -> None:
        """The child that carried this lease is gone: nothing in its slot is to be killed any more."""
        for index, running in self._slots.running():
            if running.token == token:
                self._forget_job(index, running)

    def _kill_late(self, index: int, running: Running) -> None:
        if running.pid == os.getpid():
            logger.error("a job is over its time limit, but this pool can't enforce it: run it on a prefork worker")
            # Said once; the job stays in its slot, where it can still be asked to stop.
            self._slots.write(index, running.token, running.begun, running.started, job_id=running.job_id)
            return
        self._kill(
            index,
            running,
            f"its time limit is {running.limit:g} s",
            lambda run: killed_at_limit(run, self._tasks.get(run.task), running.limit),
        )

    def _kill(self, index: int, running: Running, why: str, outcome: Callable[[Run], Outcome]) -> None:
        """End the process of a job; the pool replaces it, and `lost` returns the jobs behind it."""
        if self._end(index, running, lambda: self._record(running, outcome)):
            logger.error("job killed: %s", why, extra={"job_id": str(running.job_id)})

    def _end(self, index: int, running: Running, record: Callable[[], None]) -> bool:
        """kill -9, unless the job ended a moment ago: its process stands still while that is decided.

        What is to be recorded is noted before anyone can see the death. False: it was too late to kill.
        """
        try:
            os.kill(running.pid, signal.SIGSTOP)
            if self._slots.read(index) != running:
                os.kill(running.pid, signal.SIGCONT)
                return False
            self._owed[running.token] = record
            self._later(lambda: self.settle(running.token))
            self._forget_job(index, running)
            os.kill(running.pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def _forget_job(self, index: int, running: Running) -> None:
        """How far the lease came is still to be read; that its current job is over is known."""
        self._slots.write(index, running.token, running.begun, running.started)

    def _record(self, running: Running, outcome: Callable[[Run], Outcome]) -> None:
        run = held(self._link, running.token, running.job_id)
        if run is not None:
            record_one(self._link, running.token, outcome(run), node=self._node)


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
