"""From which position on a queue has jobs that are not leased yet.

Index entries of leased jobs stay while any transaction is open that is older than their lease. A claim that began at
the front of its queue would walk all of them, every time. So it begins at the position where the last claim ended, and
looks before it now and then: a job of higher priority may be there, or one that came back.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

Position = tuple[int, UUID]
"""(rank, id): jobs are leased in this order."""
LOWEST: Position = (-(2**63), UUID(int=0))
HIGHEST: Position = (2**63 - 1, UUID(int=2**128 - 1))
SHARE = 0.1
"""Part of the time that looks at the whole may take."""
LATEST = 1.0
"""Seconds after which one is made in any case: so long may a job before the floor be overlooked."""


class Floors:
    """Positions by queue, and when to look before them. Looks at something else have the queue None."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, share: float = SHARE) -> None:
        self._clock = clock
        self._share = share
        self._positions: dict[str, Position] = {}
        self._due: dict[str | None, float] = {}

    def floor(self, queue: str) -> Position:
        """Where to begin a claim; LOWEST if it is time to look at the whole queue."""
        return LOWEST if self.is_due(queue) else self.last(queue)

    def last(self, queue: str) -> Position:
        """Where the last claim ended."""
        return self._positions.get(queue, LOWEST)

    def is_due(self, queue: str | None) -> bool:
        return self._clock() >= self._due.get(queue, float("-inf"))

    @contextmanager
    def looking(self, queue: str | None) -> Iterator[None]:
        """Around a look at the whole; what it costs says when the next is due."""
        began = self._clock()
        yield
        now = self._clock()
        self._due[queue] = now + min(LATEST, (now - began) / self._share)

    def look_again(self, queue: str) -> None:
        """The look at the whole did not come to its end: go on at the next claim."""
        self._due[queue] = self._clock()

    def leased(self, queue: str, last: Position) -> None:
        """Everything up to this position was leased, but for what came there meanwhile."""
        self._positions[queue] = last
