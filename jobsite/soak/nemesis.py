"""Chooses faults by its seed, lets up to three be under way at once, and heals each when its time is over."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from .faults import FAULTS, failpoint, name_of, restart_database
from .observer import WINDOW
from .scene import Scene, Struck

AT_ONCE = 3
CALM = 40.0
"""Seconds that a measured restart of the database has for itself."""


@dataclass
class Nemesis:
    scene: Scene
    pace: float
    """Mean seconds from one fault to the next."""
    say: Callable[[str], None]
    struck: Counter[str] = field(default_factory=Counter)
    cells: Counter[str] = field(default_factory=Counter)
    """Failpoints that were hit, by place and action."""
    restarts: list[float] = field(default_factory=list)
    """When the database was restarted with nothing else going on, seconds since 1970."""
    _under_way: list[tuple[float, Struck]] = field(default_factory=list)
    _armed: dict[str, str] = field(default_factory=dict)
    _next_at: float = 0.0

    @property
    def count(self) -> int:
        return sum(self.struck.values())

    def strike(self, now: float, *, most: int | None) -> None:
        """Heal what is due and, if it is time, strike again, `most` times in all; `now` is monotonic."""
        self._heal(now)
        if now < self._next_at or len(self._under_way) >= AT_ONCE or self.count == most:
            return
        dice = self.scene.dice
        fault = next(self._unseen(), None) or dice.choices(list(FAULTS), list(FAULTS.values()))[0]
        self._begin(fault, now)
        self._next_at = now + self.pace * dice.uniform(0.3, 1.7)

    def rest(self) -> bool:
        """Whether everything that was under way is healed."""
        self._heal(time.monotonic())
        return not self._under_way

    def measure(self) -> None:
        """Restart the database while nothing else is wrong."""
        self.restarts.append(time.time())
        self._begin(restart_database, time.monotonic())

    def heal_all(self) -> None:
        for _, fault in self._under_way:
            next(fault, None)
        self._under_way.clear()
        self._note_hits()
        self.scene.site.heal()

    def _unseen(self) -> Iterator[Callable[[Scene], Struck]]:
        """Every kind once, in an order of its own, before chance decides."""
        rest = [fault for fault in FAULTS if name_of(fault) not in self.struck and fault is not failpoint]
        if rest and self.scene.dice.random() < 0.5:
            yield self.scene.dice.choice(rest)

    def _begin(self, fault: Callable[[Scene], Struck], now: float) -> None:
        under_way = fault(self.scene)
        detail, seconds = next(under_way, ("the database was away", 0.0))
        self.struck[name_of(fault)] += 1
        if fault is failpoint:
            place, _, action = detail.partition("=")
            self._armed[place] = action.partition("@")[0].partition(":")[0]
        self._under_way.append((now + seconds, under_way))
        held = f" for {seconds:.1f} s" if seconds else ""
        self.say(f"fault {self.count:>4}: {name_of(fault)}{held}: {detail}")

    def _heal(self, now: float) -> None:
        for due, fault in [item for item in self._under_way if item[0] <= now]:
            next(fault, None)
            self._under_way.remove((due, fault))
        self._note_hits()

    def _note_hits(self) -> None:
        for place, action in list(self._armed.items()):
            hit = self.scene.site.failpoints / f"{place}.hit"
            if hit.exists():
                self.cells[f"{place} {action}"] += 1
                hit.unlink()
                del self._armed[place]


QUIET_BEFORE = WINDOW + 8
"""Seconds without a fault before a measured restart."""
