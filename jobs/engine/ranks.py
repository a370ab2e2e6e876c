"""Ranks after a change of a queue's aging, whoever made it: pending jobs are ranked anew in chunks.

A rank follows from the job's row and its queue's aging alone, so a chunk may run twice, beside inserts and claims.
Only waiting jobs are ranked; one that comes back from a worker is ranked as it returns.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from .link import Link

logger = logging.getLogger("jobs")

CHUNK = 200
"""Jobs looked at in one step."""
SETTLING = 2.0
"""Seconds after a change in which calls may still rank by the aging before it."""
START = (-(2**63), UUID(int=0))


@dataclass(slots=True)
class Walk:
    """A queue on its way to an aging: once through at once, and again when every older rank can be seen."""

    queue: str
    aging_us: int
    since: float
    """When it was noticed, or met locked jobs."""
    place: tuple[int, UUID] | None = START
    """(rank, id) of the last job seen; None between two times through."""
    writers: frozenset[str] | None = None
    """Open transactions that may have inserted by the aging before."""
    last_time: bool = False
    moved: int = 0
    missed: int = 0
    """Jobs that somebody had locked, this time through."""


class Ranks:
    def __init__(self, link: Link, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._link = link
        self._clock = clock
        self._walks: dict[tuple[str, int], Walk] = {}

    def step(self) -> bool:
        """Rank one chunk of one queue; False when there is nothing to do now."""
        now = self._clock()
        stale = [(queue, aging_us) for queue, aging_us, _ in self._link.rows("stale_ranks")]
        # A walk to an aging that has changed meanwhile is forgotten.
        self._walks = {key: self._walks.get(key) or Walk(*key, since=now) for key in stale}
        for walk in self._walks.values():
            if walk.place is None:
                self._begin_again(walk, now)
            if walk.place is not None:
                self._read(walk, walk.place)
                return True
        return False

    def _begin_again(self, walk: Walk, now: float) -> None:
        """Not before every transaction has ended that may have inserted by the aging before the change."""
        if now < walk.since + SETTLING:
            return
        writing = {row[0] for row in self._link.rows("writers")}
        if walk.writers is None:
            walk.writers = frozenset(writing)
        if writing.isdisjoint(walk.writers):
            walk.place, walk.missed, walk.last_time = START, 0, True

    def _read(self, walk: Walk, place: tuple[int, UUID]) -> None:
        rank, id_ = place
        found = self._link.rows("rerank", queue=walk.queue, aging_us=walk.aging_us, rank=rank, id=id_, limit=CHUNK)
        if found:
            *_, moved, missed = found[0]
            walk.place = found[0][:2]
            walk.moved += moved
            walk.missed += missed
            return
        walk.place = None
        if walk.last_time and walk.missed:
            walk.since = self._clock()  # whoever has them locked needs a while
        elif walk.last_time:
            self._settle(walk)

    def _settle(self, walk: Walk) -> None:
        if self._link.rows("ranked", queue=walk.queue, aging_us=walk.aging_us, moved=walk.moved) and walk.moved:
            logger.info("queue ranked anew", extra={"queue": walk.queue, "count": walk.moved})
