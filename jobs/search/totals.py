"""How many jobs match: exactly up to 10,000, beyond that by an estimate."""

from contextlib import suppress
from typing import NamedTuple

from ..errors import SearchTooSlow
from .keys import front
from .live import live_count
from .pages import SOON
from .patience import ALONG_INDEXES, FREELY, patience
from .sources import guess, matching, sources
from .wanted import Wanted

COUNTED = 10_000
"""Jobs that are counted exactly."""
BRIEFLY = 0.1
"""Seconds that counting without an index may take."""


class Total(NamedTuple):
    jobs: int
    is_exact: bool


def total(wanted: Wanted) -> Total:
    """How many jobs match, whatever page is shown."""
    count = _by_index(wanted) if wanted.ids is None else None
    if count is None:
        count = _counted(wanted)
    return _estimate(wanted) if count is None or count > COUNTED else Total(count, True)


def _by_index(wanted: Wanted) -> int | None:
    """The number, or one above COUNTED if there are more; None if no index can tell."""
    with suppress(SearchTooSlow), patience(SOON, ALONG_INDEXES):
        live = live_count(wanted) if wanted.live else 0
        if live is None or live > COUNTED or not wanted.final:
            return live
        for source in sources(wanted):
            keys = source.read(front(wanted), COUNTED + 1)
            if source.is_whole or len(keys) <= COUNTED:
                return live + len(keys if source.is_whole else matching(wanted, keys))
    return None


def _counted(wanted: Wanted) -> int | None:
    """The same by counting one by one; None if that takes too long."""
    with suppress(SearchTooSlow), patience(BRIEFLY, FREELY):
        return wanted.jobs().order_by().values("pk")[: COUNTED + 1].count()
    return None


def _estimate(wanted: Wanted) -> Total:
    with patience(SOON, FREELY):
        return Total(max(guess(wanted.jobs()), COUNTED + 1), False)
