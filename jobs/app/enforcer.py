"""What the worker's main process does about running jobs: over their limit, cancelled, in the way of others."""

import logging
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

from celery.exceptions import TimeLimitExceeded

from ..conf import jobs_settings
from ..engine.execute import Run, held
from ..engine.finish import record_one
from ..engine.link import Link
from ..engine.maintenance import give_back_unwon, lose, relieve
from ..engine.slots import NOBODY, Running, Slots
from ..policy import Outcome
from ..states import FINAL
from .failing import call_errbacks
from .interrupts import CANCEL_SIGNAL
from .outcomes import killed_at_limit, stopped

logger = logging.getLogger("jobs")

CANCELS = 0.5
"""Seconds between two looks at which running jobs someone wants to stop; jobs shorter than that are not looked up."""
CLOSING = 2.0
"""Seconds after the grace that a child has to write what it finished, if the database is away."""


class Enforcer:
    """Looks at what each child runs; `later` does a piece of database work until it succeeds."""

    def __init__(
        self,
        slots: Slots,
        link: Link,
        node: str,
        tasks: Mapping[str, Any],
        later: Callable[[Callable[[], None]], None],
        behind: Callable[[UUID], Sequence[UUID]] = lambda token: (),
    ) -> None:
        self._slots = slots
        self._link = link
        self._node = node
        self._tasks = tasks
        self._later = later
        self._behind = behind
        self._owed: dict[UUID, Callable[[], None]] = {}
        self._halted: dict[UUID, Running] = {}
        self._relieved: set[UUID] = set()
        self._slow: set[tuple[UUID, float]] = set()

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

    def relieve(self) -> bool:
        """Give back the jobs behind one that blocks for longer than the budget. Returns whether to look again soon.

        First their lease is halted. If at the next look the same job still runs, none behind it was begun, nor will be.
        """
        now, budget = time.monotonic(), jobs_settings().carrier_budget
        blocking = {
            run.token: (index, run)
            for index, run in self._slots.running()
            if run.behind and now - run.since > budget and run.token not in self._relieved
        }
        for token, (index, run) in blocking.items():
            if self._halted.get(token) == run:
                self._relieved.add(token)
                self._later(partial(self._give_back_behind, run))
            else:
                self._slots.halt(index, token)
                self._halted[token] = run
        self._halted = {token: run for token, run in self._halted.items() if token in blocking}
        self._relieved &= {run.token for _, run in self._slots.carrying()}
        return bool(self._halted)

    def slow(self) -> None:
        """Log each job once that runs for longer than the threshold."""
        threshold, now = jobs_settings().slow_job_threshold, time.monotonic()
        slow = {run.job_id: run for _, run in self._slots.running() if threshold and now - run.started > threshold}
        self._slow &= {(run.job_id, run.started) for run in slow.values()}
        news = [run for run in slow.values() if (run.job_id, run.started) not in self._slow]
        if not news:
            return
        for job_id, task in self._link.rows("tasks_of", ids=[run.job_id for run in news]):
            run = slow[job_id]
            self._slow.add((job_id, run.started))
            seconds = round(now - run.started, 1)
            logger.warning(
                "slow job: %s has run for %.0f s",
                task,
                seconds,
                extra={"job_id": str(job_id), "task": task, "seconds": seconds, "worker": self._node},
            )

    def dead(self) -> list[UUID]:
        """Leases whose child process is gone; `forget` them when it is read how far they came."""
        return [run.token for _, run in self._slots.carrying() if run.pid != os.getpid() and _is_dead(run.pid)]

    def give_back(self, *, closing: bool) -> None:
        """The worker has to end now: what still runs is ended and runs again elsewhere, without blame.

        With `closing` also those that only have to write what they finished, and can't.
        """
        for index, running in self._slots.carrying():
            if running.pid != os.getpid() and (closing or running.job_id != NOBODY):
                self._give_back_one(index, running)

    def here(self) -> list[UUID]:
        """Leases that run in threads of this very process."""
        return [run.token for _, run in self._slots.carrying() if run.pid == os.getpid()]

    def _give_back_behind(self, run: Running) -> None:
        count = relieve(self._link, run.token, run.begun)
        # One that its process wins first stays with it.
        reason = "the job before it blocks"
        count += give_back_unwon(self._link, self._behind(run.token), jobs_settings(), reason=reason)
        if count:
            logger.warning(
                "jobs given back: the one before them blocks",
                extra={"job_id": str(run.job_id), "count": count, "worker": self._node},
            )

    def _give_back_one(self, index: int, running: Running) -> None:
        if self._end(index, running, lambda: self._return(running)):
            logger.warning("job given back: the worker shuts down", extra={"job_id": str(running.job_id)})

    def _return(self, running: Running) -> None:
        reason = "its worker was shut down"
        settings = jobs_settings()
        lose(self._link, running.token, settings, won=True, begun=running.begun, reason=reason, strike=False)

    def forget(self, token: UUID) -> None:
        """The child that carried this lease is gone: nothing in its slot is to be read or killed any more."""
        for index, running in self._slots.carrying():
            # A live child writes its slot by itself.
            if running.token == token and (running.pid == os.getpid() or _is_dead(running.pid)):
                self._slots.clear(index)

    def _kill_late(self, index: int, running: Running) -> None:
        if running.pid == os.getpid():
            logger.error("a job is over its time limit, but this pool can't enforce it: run it on a prefork worker")
            # Said once; the job stays in its slot, where it can still be asked to stop.
            self._slots.forget_limit(index)
            return
        self._kill(
            index,
            running,
            f"its time limit is {running.limit:g} s",
            lambda run: self._late(run, running.limit),
        )

    def _late(self, run: Run, limit: float) -> Outcome:
        task = self._tasks.get(run.task)
        outcome = killed_at_limit(run, task, limit)
        if outcome.state in FINAL:
            call_errbacks(outcome, run, task, TimeLimitExceeded(limit))
        return outcome

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
            if not self._slots.unchanged(index, running):
                os.kill(running.pid, signal.SIGCONT)
                return False
            self._owed[running.token] = record
            self._later(lambda: self.settle(running.token))
            self._slots.forget_job(index)
            os.kill(running.pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def _record(self, running: Running, outcome: Callable[[Run], Outcome]) -> None:
        run = held(self._link, running.token, running.job_id)
        if run is not None:
            record_one(self._link, running.token, outcome(run), node=self._node)


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _is_dead(pid: int) -> bool:
    """Whether a child process has ended; it stays there for the pool to reap."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True
