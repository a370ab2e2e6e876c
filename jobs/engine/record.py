"""Room 4: write outcomes, progress and late starts of one lease, under that lease."""

import logging
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg import errors

from ..conf import jobs_settings
from ..policy import Outcome
from ..states import FINAL, End, State
from .enqueue import enqueue_in
from .link import Link

logger = logging.getLogger("jobs")

RETRY = 1.0
"""Seconds before the thread tries again what failed for another reason than a locked row."""
LONGEST_ERROR = 8_192
LONGEST_TRACEBACK = 65_536


def clean(text: str | None, longest: int) -> str | None:
    """Text that PostgreSQL takes: no NUL, no half surrogate pair, at most `longest` characters."""
    if text is None:
        return None
    text = text if len(text) <= longest else text[:longest] + f"… ({len(text):,} characters)"
    return text.replace("\x00", "�").encode("utf-8", "replace").decode("utf-8")


class Recorder:
    """Records the jobs of one lease at a time; a thread of its own commits what has waited `flush_interval`.

    The thread is what keeps finished jobs on record within that time while the next job blocks.
    """

    def __init__(self, link: Link, node: str) -> None:
        self._link = link
        self._node = node
        self._lock = threading.RLock()  # one writer at a time: main thread or flusher
        self._poke = threading.Event()
        self._token: UUID | None = None
        self._waiting: list[Outcome] = []
        self._current: tuple[UUID, datetime] | None = None
        self._late_at = 0.0
        self._progress: str | None = None
        self._swap = threading.Lock()  # the two threads exchange `_progress`
        self._wrote_progress_at = 0.0
        self._thread: threading.Thread | None = None

    def open(self, token: UUID) -> None:
        with self._lock:
            # Left behind when the last lease was cut off: they are outcomes under that lease, never under this one.
            self._waiting, self._current = [], None
            self._token = token
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="jobs-recorder", daemon=True)
            self._thread.start()

    def begin(self, job_id: UUID, started_at: datetime, *, shown: bool) -> None:
        """A job starts now; `shown` when the database has it as running already."""
        self._progress = None
        self._wrote_progress_at = 0.0
        self._late_at = float("inf") if shown else time.monotonic() + 2 * jobs_settings().flush_interval
        self._current = (job_id, started_at)
        if not shown:
            self._poke.set()

    def report(self, progress: str) -> None:
        """Progress of the current job as JSON: written at once if the last write is old enough, else a little later."""
        with self._swap:
            self._progress = progress
        if time.monotonic() - self._wrote_progress_at >= jobs_settings().progress_interval:
            with self._lock:
                self._write_progress()
        else:
            self._poke.set()

    def take_progress(self) -> str | None:
        """Progress not written yet, to go with the job's outcome."""
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
            self._waiting.append(outcome)
        self._poke.set()

    def close(self, unstarted: Sequence[UUID] = (), *, end: bool = True) -> None:
        """Record what is left, return the jobs that were not started, `end` the lease; insists until it is done."""
        pause = 0.05
        while not self._closed(unstarted, end):
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(5.0, pause * 2)

    def _closed(self, unstarted: Sequence[UUID], end: bool) -> bool:
        try:
            if unstarted:
                self._link.rows("give_back", ids=list(unstarted), token=self._token)
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
        current, progress = self._current, self.take_progress()
        if current is None or progress is None:
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

        Outcomes that stay in `_waiting` belong to rows that are locked by someone, and are tried again.
        """
        batch = self._waiting
        if not batch and not last:
            return False
        try:
            moved = self._write(batch, done=last)
        except (errors.LockNotAvailable, errors.DeadlockDetected, psycopg.DataError):
            self._waiting = self._one_by_one(batch)
            return False
        self._waiting = []
        self._report_stale(batch, moved)
        return last

    def _one_by_one(self, batch: list[Outcome]) -> list[Outcome]:
        left = []
        for outcome in batch:
            try:
                self._report_stale([outcome], self._write([outcome], done=False))
            except (errors.LockNotAvailable, errors.DeadlockDetected):
                left.append(outcome)
            except psycopg.DataError as error:
                left.append(_unstorable(outcome, error))
        return left

    def _write(self, batch: list[Outcome], *, done: bool) -> set[UUID]:
        """One transaction: outcomes, attempts, the lease's end, and the jobs that follow from what was recorded."""
        columns = _columns(batch, token=self._token, node=self._node, done=done)
        if not any(outcome.next_jobs for outcome in batch):
            return {row[0] for row in self._link.rows("finish", **columns)}
        with self._link.transaction():
            moved = {row[0] for row in self._link.rows("finish", **columns)}
            for outcome in batch:
                if outcome.job_id in moved:
                    enqueue_in(self._link, outcome.next_jobs)
        return moved

    def _report_stale(self, batch: Sequence[Outcome], moved: set[UUID]) -> None:
        for outcome in batch:
            if outcome.job_id not in moved:
                logger.warning(
                    "stale outcome dropped: the job was given to another worker meanwhile",
                    extra={"job_id": str(outcome.job_id), "state": outcome.state},
                )


def record_one(link: Link, token: UUID, outcome: Outcome, *, node: str) -> bool:
    """Record an outcome on behalf of a process that was killed. False: the lease no longer holds the job."""
    return bool(link.rows("finish", **_columns([outcome], token=token, node=node, done=False)))


def _unstorable(outcome: Outcome, error: psycopg.DataError) -> Outcome:
    """The work is done, so its state stands; what can't be stored is replaced by the reason.

    A retry that can't be stored would run with other arguments or at another time than it asked for: a dead letter.
    """
    return replace(
        outcome,
        state=outcome.state if outcome.state in FINAL else State.DEAD_LETTER,
        end=outcome.end if outcome.state in FINAL else End.FAILED,
        delay=None,
        spent=0,
        next_jobs=(),
        result=None,
        progress=None,
        args=None,
        kwargs=None,
        traceback=None,
        error=clean(f"the result can't be stored: {error}", LONGEST_ERROR),
    )


def _columns(batch: Sequence[Outcome], **shared: Any) -> dict[str, Any]:
    return {
        **shared,
        "ids": [o.job_id for o in batch],
        "states": [str(o.state) for o in batch],
        "ends": [str(o.end) for o in batch],
        "started": [o.started_at for o in batch],
        "finished": [o.finished_at for o in batch],
        "results": [o.result for o in batch],
        "errors": [o.error for o in batch],
        "tracebacks": [o.traceback for o in batch],
        "delays": [o.delay for o in batch],
        "spent": [o.spent for o in batch],
        "args": [o.args for o in batch],
        "kwargs": [o.kwargs for o in batch],
        "progress": [o.progress for o in batch],
        "final": [o.state in FINAL for o in batch],
    }
