"""Slow work of the dispatcher, a small batch at a time: ranks after a change of aging, ended pauses, and retention."""

import time
from collections.abc import Callable

from ..conf import JobsSettings
from .link import Link
from .ranks import Ranks
from .retention import Retention

IDLE = 1.0
"""Seconds until the next look when there was nothing to do."""
BREATH = 0.05
"""Least seconds between two batches."""
RESUMED = 2_000
"""Jobs that one batch lets go whose pause is over."""
SHARE = 0.2
"""Most of the dispatcher's time that upkeep takes."""


class Upkeep:
    def __init__(self, link: Link, settings: JobsSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._link = link
        self._ranks = Ranks(link, clock=clock)
        self._retention = Retention(link, settings, clock=clock)

    def step(self) -> float:
        """Do one batch; returns the seconds after which to do the next."""
        began = self._clock()
        busy = self._resume() or self._ranks.step() or self._retention.step()
        return max(BREATH, (self._clock() - began) * (1 / SHARE - 1)) if busy else IDLE

    def _resume(self) -> bool:
        return bool(self._link.rows("resume", limit=RESUMED))
