"""One page of what is wanted, in bounded time.

The newest jobs are looked through first, because most pages are full there. What is rarer is found by an index, or else
in the next stretch of the newest jobs: then the page may be short, and its end is where the next one begins.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from ..engine.link import jobs_alias
from ..errors import SearchTooSlow
from ..models import Job
from .keys import FRONT, ORDER, Compared, Key, Stretch, front, further, keys_of, merged
from .live import live_stretch
from .patience import ALONG_INDEXES, IN_ORDER, patience
from .sources import rows, sources
from .wanted import Wanted

GLANCE, LOOK = 3_000, 50_000
"""Newest jobs that are looked through at once, before and after the indexes."""
SOON, LONG = 0.4, 3.0
"""Seconds that a statement may take, of a source that can be done without, and of one that can't."""
WIDE = ("args", "kwargs", "options", "result", "children")
"""Columns that no list shows; each may hold a megabyte."""


@dataclass(frozen=True, slots=True)
class Page:
    jobs: list[Job]
    end: Key | None
    """Where the next page begins; None if there is none."""


def page(wanted: Wanted, *, behind: Key = FRONT, offset: int = 0, limit: int) -> Page:
    """The jobs from `offset` on behind a key. May hold fewer than `limit` and have an end. Raises SearchTooSlow."""
    behind = min(behind, front(wanted))
    found = find(wanted, behind, offset + limit + 1)
    shown = found.keys[offset : offset + limit]
    if len(found.keys) > offset + limit:
        end: Key | None = shown[-1]
    else:
        end = found.reached
    return Page(_jobs(shown), end)


def find(wanted: Wanted, behind: Key, need: int) -> Stretch:
    """The keys of what matches behind one, at least `need` of them, or as far as is looked."""
    if wanted.ids is not None:
        with patience(LONG, ALONG_INDEXES):
            return Stretch(keys_of(wanted.jobs().filter(Compared("<", behind)))[:need])
    best = newest(wanted, behind, need, GLANCE)
    if best.is_enough(need):
        return best
    best = further(best, _by_index(wanted, behind, need, best))
    return best if best.is_enough(need) else further(best, newest(wanted, behind, need, LOOK))


def newest(wanted: Wanted, behind: Key, need: int, most: int) -> Stretch:
    """What matches among the newest `most` jobs behind a key."""
    place = {"created_at": behind.created_at, "id": behind.id, "since": wanted.since}
    with patience(LONG, IN_ORDER):
        end = rows("newest_end", **place, most=most - 1)
        reached = Key(*end[0]) if end else None
        jobs = wanted.jobs().filter(Compared("<", behind))
        if reached is not None:
            jobs = jobs.filter(Compared(">=", reached))
        return Stretch(keys_of(jobs.order_by(*ORDER)[:need]), reached)


def _by_index(wanted: Wanted, behind: Key, need: int, best: Stretch) -> Stretch:
    """What the indexes tell, live jobs first: one that ends meanwhile is found twice, not missed."""
    with suppress(SearchTooSlow), patience(SOON, ALONG_INDEXES):
        live = live_stretch(wanted, behind, need) if wanted.live else Stretch([])
        if live is None:
            return best
        for final in _finals(wanted, behind, need):
            best = further(best, merged(final, live, need))
            if best.is_enough(need):
                break
    return best


def _finals(wanted: Wanted, behind: Key, need: int) -> Iterator[Stretch]:
    if not wanted.final:
        yield Stretch([])
    else:
        yield from (source.stretch(wanted, behind, need) for source in sources(wanted))


def _jobs(keys: list[Key]) -> list[Job]:
    """The rows; one that was purged meanwhile is left out."""
    found = Job.objects.using(jobs_alias()).defer(*WIDE).in_bulk([key.id for key in keys])
    return [found[key.id] for key in keys if key.id in found]
