"""Room 4: write outcomes, progress and late starts of one lease, under that lease."""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

import psycopg
from psycopg import errors

from ..conf import jobs_settings
from ..errors import UniqueBusy
from ..policy import Outcome
from ..states import State
from .abandoned import abandon
from .failpoints import failpoint
from .finish import finish, unstorable
from .link import Link, Rows

logger = logging.getLogger("jobs")

BUSY = (errors.LockNotAvailable, errors.DeadlockDetected, UniqueBusy)
"""Somebody else's open transaction stands in the way, on the row or on the unique key of what follows from the job."""
RETRY = 1.0
"""Seconds before the thread tries again what failed for another reason than a locked row."""


class Recorder:
    """Records the jobs of one lease at a time; a thread of its own commits what has waited `flush_interval`.

    The thread is what keeps finished jobs on record within that time while the next job blocks.
    """

    def __init__(self, link: Link, node: str, *, threaded: bool = True) -> None:
        self._link = link
        self._node = node
        self._threaded = threaded  # without it, everything is written when the lease ends
        self._lock = threading.RLock()  # one writer at a time: main thread or flusher
        self._poke = threading.Event()
        self._token: UUID | None = None
        self._waiting: list[Outcome] = []
        self._current: tuple[UUID, datetime] | None = None
        self._late_at = 0.0
        self._progress: str | None = None
        self._swap = threading.Lock()  # the two threads exchange `_progress`
        self._wrote_progress_at = float("-inf")
        self._thread: threading.Thread | None = None
        self._along: Callable[[Link], None] | None = None

    def open(self, token: UUID) -> None:
        with self._lock:
            # Left behind when the last lease was cut off: they are outcomes under that lease, never under this one.
            self._waiting, self._current = [], None
            self._token = token
        if self._thread is None and self._threaded:
            self._thread = threading.Thread(target=self._watch, name="jobs-recorder", daemon=True)
            self._thread.start()

    def begin(self, job_id: UUID, started_at: datetime, *, shown: bool) -> None:
        """A job starts now; `shown` when the database has it as running already."""
        self._progress = None
        self._wrote_progress_at = float("-inf")
        self._late_at = float("inf") if shown else time.monotonic() + 2 * jobs_settings().flush_interval
        self._current = (job_id, started_at)
        if not shown:
            self._call_flusher()

    def report(self, progress: str) -> None:
        """Progress of the current job as JSON: written at once if the last write is old enough, else a little later."""
        with self._swap:
            self._progress = progress
        if time.monotonic() - self._wrote_progress_at >= jobs_settings().progress_interval:
            with self._lock:
                self._write_progress()
        else:
            self._call_flusher()

    def leave_alone(self) -> None:
        """Write nothing about the current job until `resume`, or its end: its transaction reads from a snapshot."""
        with self._lock:
            self._current = None

    def record_within(self, link: Rows, outcome: Outcome) -> bool:
        """Record the current job over another connection, in the transaction that is open there.

        From now on its row is left alone here: a write would wait for that transaction, and that transaction for
        this lock. `resume` takes it up again after a rollback. False: the lease does not hold the job any more.
        """
        with self._lock:
            self._current = None
            outcome.progress = self.take_progress()
            return outcome.job_id in self._write(link, [outcome], done=False)

    def resume(self, job_id: UUID, started_at: datetime, progress: str | None) -> None:
        """The transaction of `record_within`, or the snapshot, is over: the job is still the current one."""
        with self._lock:
            self._current = (job_id, started_at)
        if progress is not None:
            self.report(progress)

    def take_progress(self) -> str | None:
        """Progress not written yet, to go with the job's outcome."""
        if self._progress is None:
            return None
        with self._swap:
            progress, self._progress = self._progress, None
        return progress

    @property
    def is_writing(self) -> bool:
        """Whether this very thread is in the middle of a write."""
        return self._lock._is_owned()  # type: ignore[attr-defined]

    def add(self, outcome: Outcome) -> None:
        with self._lock:
            self._current = None
            if not outcome.committed:
                self._waiting.append(outcome)
        self._call_flusher()

    def _call_flusher(self) -> None:
        if not self._poke.is_set():  # to set it takes a lock, once or twice a job
            self._poke.set()

    def close(
        self, unstarted: Sequence[UUID] = (), *, end: bool = True, along: Callable[[Link], None] | None = None
    ) -> bool:
        """Record what is left, return the jobs that were not started, `end` the lease; insists until it is done.

        `along` is done in the same transaction, and again after a lost reply; not if a row was locked. Returns whether.
        """
        self._along = along
        pause = 0.05
        while not self._closed(unstarted, end):
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(5.0, pause * 2)
        return self._along is not None

    def _closed(self, unstarted: Sequence[UUID], end: bool) -> bool:
        try:
            if unstarted:
                with self._link.transaction():
                    returned = self._link.rows("give_back", ids=list(unstarted), token=self._token)
                    abandon(self._link.rows, [id_ for id_, state in returned if state == State.CANCELLED])
            with self._lock:
                while not self._flush(last=end) and (end or self._waiting):
                    if self._waiting:
                        return False
                self._token = None
            return True
        except (psycopg.OperationalError, psycopg.InternalError) as error:
            # Away, or read-only during a failover. The lease decides whether a late outcome still counts.
            logger.warning("the database is away, outcomes wait: %s", str(error).strip())
            return False

    def _watch(self) -> None:
        while True:
            self._poke.wait()
            self._poke.clear()
            time.sleep(jobs_settings().flush_interval)
            try:
                with self._lock:
                    if self._token is not None:
                        self._flush(last=False)
                        self._look_at_current()
            except Exception:
                # Whatever it was, this thread goes on: no other writes outcomes while a job blocks.
                logger.warning("outcomes could not be written yet: trying again", exc_info=True)
                self._poke.set()
                time.sleep(RETRY)

    def _look_at_current(self) -> None:
        if self._current is None:
            return
        job_id, started_at = self._current
        now = time.monotonic()
        if now >= self._late_at:
            self._late_at = float("inf")
            self._link.rows("start", id=job_id, token=self._token, started_at=started_at, node=self._node)
        if self._progress and now - self._wrote_progress_at >= jobs_settings().progress_interval:
            self._write_progress()
        if self._progress or self._late_at != float("inf"):
            self._poke.set()

    def _write_progress(self) -> None:
        current = self._current
        if current is None or (progress := self.take_progress()) is None:
            return
        self._wrote_progress_at = time.monotonic()
        try:
            self._link.rows(
                "progress",
                id=current[0],
                token=self._token,
                started_at=current[1],
                node=self._node,
                progress=progress,
            )
        except psycopg.Error:
            logger.warning("progress was not written", exc_info=True, extra={"job_id": str(current[0])})

    def _flush(self, *, last: bool) -> bool:
        """Write all waiting outcomes; `last` ends the lease with them. Returns whether the lease is ended.

        Outcomes that stay in `_waiting` wait for somebody's open transaction, and are tried again.
        """
        batch = self._waiting
        if not batch and not last:
            return False
        try:
            failpoint("K5")
            moved = self._write_along(batch) if last and self._along else self._write(self._link, batch, done=last)
            failpoint("K6")
        except (*BUSY, psycopg.DataError):
            self._along = None  # who knows which of the two it was
            self._waiting = self._one_by_one(batch)
            return False
        self._waiting = []
        self._report_stale(batch, moved)
        return last

    def _one_by_one(self, batch: list[Outcome]) -> list[Outcome]:
        left = []
        for outcome in batch:
            try:
                self._report_stale([outcome], self._write(self._link, [outcome], done=False))
            except BUSY as error:
                logger.info("an outcome waits: %s", error, extra={"job_id": str(outcome.job_id)})
                left.append(outcome)
            except psycopg.DataError as error:
                left.append(unstorable(outcome, error))
        return left

    def _write_along(self, batch: list[Outcome]) -> set[UUID]:
        assert self._along is not None
        with self._link.transaction():
            moved = self._write(self._link, batch, done=True)
            self._along(self._link)
        return moved

    def _write(self, link: Rows, batch: list[Outcome], *, done: bool) -> set[UUID]:
        return finish(link, batch, token=self._token, node=self._node, done=done)

    def _report_stale(self, batch: Sequence[Outcome], moved: set[UUID]) -> None:
        for outcome in batch:
            if outcome.job_id not in moved:
                logger.warning(
                    "stale outcome dropped: the job was given to another worker meanwhile",
                    extra={"job_id": str(outcome.job_id), "state": outcome.state},
                )
