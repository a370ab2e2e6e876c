"""How one search is answered, by indexes or by looking through the newest jobs, in bounded time.

The newest jobs are looked through first, because most pages are full there. What is rarer is found by an index, or else
in the next stretch of the newest jobs: then a page may be short, and its end is where the next one begins.
"""

from contextlib import suppress
from functools import cached_property
from typing import NamedTuple

from ..errors import SearchTooSlow
from .keys import ORDER, Compared, Key, Stretch, front, further, keys_of, merged
from .live import Live
from .patience import ALONG_INDEXES, FREELY, IN_ORDER, patience
from .sources import COUNTED, Source, guess, matching, rows, sources, stretch
from .wanted import Wanted

GLANCE, LOOK = 3_000, 20_000
"""Newest jobs that are looked through at once, before and after the indexes."""
LONG, SOON, BRIEFLY = 3.0, 0.4, 0.04
"""Seconds that a statement may take: one that is needed, one of an index, and one that counts without an index."""


class Total(NamedTuple):
    jobs: int
    is_exact: bool


class Ways:
    """What is known of one search; pages and totals share it."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._live = Live(wanted)

    def find(self, behind: Key, need: int) -> Stretch:
        """The keys of what matches behind one, at least `need` of them, or as far as is looked.

        Raises SearchTooSlow.
        """
        if self._wanted.ids is not None:
            with patience(LONG, ALONG_INDEXES):
                return Stretch(keys_of(self._wanted.jobs().filter(Compared("<", behind))))
        best = self._newest(behind, need, max(GLANCE, 2 * need))
        if not best.is_enough(need):
            best = further(best, self._by_index(behind, need) or best)
        if not best.is_enough(need):
            best = further(best, self._newest(behind, need, max(LOOK, 2 * need)))
        return best

    def total(self) -> Total:
        """How many jobs match, whatever page is shown. Raises SearchTooSlow."""
        count = self._count_by_index() if self._wanted.ids is None else None
        if count is None:
            count = self._count()
        if count is not None and count <= COUNTED:
            return Total(count, True)
        with patience(LONG, FREELY):
            return Total(max(guess(self._wanted.jobs()), count or 0), False)

    def _newest(self, behind: Key, need: int, most: int) -> Stretch:
        """What matches among the newest `most` jobs behind a key."""
        place = {"created_at": behind.created_at, "id": behind.id, "since": self._wanted.since}
        with patience(LONG, IN_ORDER):
            end = rows("newest_end", **place, most=most - 1)
            reached = Key(*end[0]) if end else None
            jobs = self._wanted.jobs().filter(Compared("<", behind))
            if reached is not None:
                jobs = jobs.filter(Compared(">=", reached))
            return Stretch(keys_of(jobs.order_by(*ORDER)[:need]), reached)

    def _by_index(self, behind: Key, need: int) -> Stretch | None:
        """What live jobs and one source tell; None if they can't be asked."""
        with suppress(SearchTooSlow), patience(SOON, ALONG_INDEXES):
            if not self._live.are_few:
                return None
            live = self._live.newest(behind, need)
            if not self._wanted.final:
                return live
            if self._source is not None:
                return merged(stretch(self._source, self._wanted, behind, need), live, need)
        return None

    def _count_by_index(self) -> int | None:
        """The number, or one above COUNTED if there are more; None if no index can tell."""
        with suppress(SearchTooSlow), patience(SOON, ALONG_INDEXES):
            if not self._live.are_few:
                return None
            live = self._live.count(front(self._wanted))
            source = self._source if live <= COUNTED and self._wanted.final else None
            if source is None:
                return live if live > COUNTED or not self._wanted.final else None
            if source.is_whole or not source.count:
                return live + source.count
            if source.count <= COUNTED:
                return live + len(matching(self._wanted, source.read(front(self._wanted), COUNTED)))
        return None

    def _count(self) -> int | None:
        """The same by counting one by one; None if that takes too long."""
        with suppress(SearchTooSlow), patience(BRIEFLY, FREELY):
            return self._wanted.jobs().order_by().values("pk")[: COUNTED + 1].count()
        return None

    @cached_property
    def _source(self) -> Source | None:
        """One that can be read to its end, else the most selective."""
        found = list(sources(self._wanted))
        return next((source for source in found if source.count <= COUNTED), found[0] if found else None)
