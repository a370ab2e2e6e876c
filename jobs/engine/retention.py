"""Retention: finished jobs leave in batches, old dead letters audited, keys and chords that nobody needs too."""

import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
from kombu.utils.json import dumps

from ..conf import JobsSettings
from ..states import FINAL, State
from .link import Link

logger = logging.getLogger("jobs")

BATCH = 100
"""Jobs deleted in one step."""
PAUSE = 60.0
"""Seconds from the end of one pass to the next."""
LONGEST = 1_000_000
"""Days; more leads behind the calendar of the database."""
LONG_AGO = (datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))
OVER = frozenset(FINAL - {State.DEAD_LETTER})
"""Ends that leave after JOBS_COMPLETED_DAYS."""


class Retention:
    def __init__(self, link: Link, settings: JobsSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._link = link
        self._settings = settings
        self._clock = clock
        self._pass: Iterator[int] | None = None
        self._next_at = clock()

    def step(self) -> bool:
        """Delete at most one batch; False when there is nothing to do for a while."""
        if self._pass is None:
            if self._clock() < self._next_at:
                return False
            self._pass = self._once()
        # An error ends the pass too: the next one begins anew.
        self._next_at = self._clock() + PAUSE
        this, self._pass = self._pass, None
        if next(this, None) is None:
            return False
        self._pass = this
        return True

    def _once(self) -> Iterator[int]:
        """One pass over everything that may be old; yields what each batch deleted."""
        yield len(self._link.rows("release_keys", limit=BATCH))
        yield from self._old_jobs(self._settings.completed_days)
        for queue, cap, days in self._link.rows("dead_letter_queues"):
            cap = self._settings.dead_letter_cap if cap is None else cap
            days = min(self._settings.dead_letter_days if days is None else days, LONGEST)
            if days:
                yield from self._dead_letters("old_dead_letters", queue, days=days)
            if cap:
                yield from self._dead_letters("surplus_dead_letters", queue, cap=cap)
        yield from self._chords()

    def _old_jobs(self, days: int) -> Iterator[int]:
        finished_at, id_ = LONG_AGO
        while days and (old := self._link.rows("old_jobs", finished_at=finished_at, id=id_, days=days, limit=BATCH)):
            id_, finished_at, _ = old[-1]
            gone = self._purge([row[0] for row in old if row[2] in OVER], OVER)
            if gone:
                logger.info("old jobs purged", extra={"count": gone})
            yield gone

    def _dead_letters(self, statement: str, queue: str, **limit: int) -> Iterator[int]:
        """Until a batch is not full; the reason stands in its audit entry."""
        while True:
            ids = [row[0] for row in self._link.rows(statement, queue=queue, limit=BATCH, **limit)]
            with self._link.transaction():
                gone = self._purge(ids, {State.DEAD_LETTER})
                if gone:
                    self._audit(
                        queue, {"jobs": gone, **{f"dead_letter_{name}": value for name, value in limit.items()}}
                    )
            yield gone
            if gone < BATCH:
                return

    def _purge(self, ids: list[UUID], states: frozenset[State] | set[State]) -> int:
        """Jobs to which a table of the site's own refers are kept, and searched by halves."""
        if not ids:
            return 0
        try:
            with self._link.transaction():
                return len(self._link.rows("purge", ids=ids, sources=sorted(states)))
        except psycopg.IntegrityError as error:
            if len(ids) == 1:
                logger.warning("a job is too old, but another table refers to it: %s", str(error).strip())
                return 0
            half = len(ids) // 2
            return self._purge(ids[:half], states) + self._purge(ids[half:], states)

    def _audit(self, queue: str, detail: dict[str, Any]) -> None:
        logger.info("dead letters purged", extra={"queue": queue, **detail})
        self._link.rows(
            "audit",
            actor="dispatcher",
            action="purge",
            resource_type="queue",
            resource_id=queue,
            detail=dumps(detail),
            ip=None,
        )

    def _chords(self) -> Iterator[int]:
        id_ = UUID(int=0)
        while seen := self._link.rows("old_chords", id=id_, limit=BATCH):
            id_, gone = seen[0]
            yield gone
