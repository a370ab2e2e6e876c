"""Sweeps of the dispatcher: lost work comes back, late jobs expire. Each is bounded and safe when two run at once."""

import logging
import math
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from uuid import UUID

from ..conf import JobsSettings
from ..states import State
from .abandoned import abandon
from .chords import judge
from .errbacks import call_errbacks
from .failpoints import failpoint
from .link import Link

logger = logging.getLogger("jobs")

AWAITED = 2000
"""Chords and jobs that others wait for and one sweep looks at; the next one goes on behind them."""
FIRST = UUID(int=0)
STRETCH = 128
"""Pages (1 MiB) of the jobs' table in which one sweep looks for jobs whose lease is gone."""
ROUND = 600.0
"""Seconds until the table is looked through again: nothing that is known loses a lease."""


class Sweeper:
    """Keeps what it has seen of each worker: a boot is dead when its heartbeat stood still on this clock, not by date.

    A jump of the database's clock, or a database that was away, therefore kills nobody.
    """

    def __init__(self, link: Link, settings: JobsSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._link = link
        self._settings = settings
        self._clock = clock
        self._seen: dict[UUID, tuple[datetime, float]] = {}
        self._forget_at = 0.0
        self._looked_at = -math.inf
        self._judged = FIRST
        self._page = self._pages = 0
        self._adopt_at: float | None = None

    def sweep(self) -> None:
        self.void_silent_workers()
        self.recover()
        self.adopt()
        self.judge()
        if expired := self.expire():
            logger.info("jobs expired", extra={"count": expired})
        if self._clock() >= self._forget_at:
            self._forget_at = self._clock() + 3600
            self._link.rows("forget_workers")

    def expire(self) -> int:
        with self._link.transaction():
            expired = [row[0] for row in self._link.rows("expire", limit=1000)]
            abandon(self._link.rows, expired)
        return len(expired)

    def judge(self) -> None:
        """The guarantee behind the finish: what waits for a chord that is complete, or can't be any more, goes on."""
        self._judged = judge(self._link, self._judged, limit=AWAITED) or FIRST

    def void_silent_workers(self) -> None:
        alive = self._link.rows("alive")
        now = self._clock()
        if now - self._looked_at > self._settings.worker_timeout / 2:
            # While nobody looked, the database may have been away for the workers too: observe anew. After a shorter
            # gap, what is left of the timeout is longer than a heartbeat's interval.
            self._seen.clear()
        self._looked_at = now
        for id_, name, heartbeat_at in alive:
            seen, since = self._seen.get(id_, (None, now))
            if seen != heartbeat_at:
                self._seen[id_] = (heartbeat_at, now)
            elif now - since >= self._settings.worker_timeout and self._link.rows("void", id=id_, seen=seen):
                logger.error(
                    "worker is presumed dead: no heartbeat for %.0f s; its jobs run again",
                    now - since,
                    extra={"worker": name},
                )
        ids = {row[0] for row in alive}
        self._seen = {id_: seen for id_, seen in self._seen.items() if id_ in ids}

    def recover(self) -> None:
        """Take back every lease that nobody will finish."""
        for token, won, strike in self._link.rows("lost_leases", timeout=self._settings.dispatch_timeout, limit=500):
            failpoint("KR1")
            reason = "its worker died or stopped answering" if won else "no worker took it in time"
            lose(self._link, token, self._settings, won=won, begun=None, reason=reason, strike=strike)

    def adopt(self) -> int:
        """Give back the jobs of the next stretch of the table whose lease is gone; returns how many leases were.

        What made it go is unknown, so nobody is to blame, and whatever was leased counts as begun.
        """
        now = self._clock()
        if self._adopt_at is None:
            self._adopt_at = now + ROUND
        if now < self._adopt_at:
            return 0
        if self._page >= self._pages:
            self._page, self._pages = 0, self._link.rows("pages")[0][0]
        first, self._page = self._page, self._page + STRETCH
        if self._page >= self._pages:
            self._adopt_at = now + ROUND
        with self._link.transaction():
            gone = self._link.rows("adopt", first=f"({first},0)", last=f"({self._page},0)")
            for (token,) in gone:
                reason = "its lease was gone"
                lose(self._link, token, self._settings, won=True, begun=None, reason=reason, strike=False)
        return len(gone)


def relieve(link: Link, token: UUID, begun: int) -> int:
    """Give back the jobs of a won lease behind its `begun`th, which blocks; returns how many.

    Only for a lease whose worker begins no further job of it.
    """
    with link.transaction():
        behind = [row[0] for row in link.rows("behind", token=token, begun=begun)]
        returned = link.rows("give_back", ids=behind, token=token) if behind else []
        abandon(link.rows, [id_ for id_, state in returned if state == State.CANCELLED])
    return len(returned)


def give_back_unwon(link: Link, tokens: Iterable[UUID], settings: JobsSettings, *, reason: str) -> int:
    """Take back those of the leases that nobody has won; returns how many jobs."""
    return sum(lose(link, token, settings, won=False, begun=None, reason=reason)[1] for token in tokens)


def lose(
    link: Link,
    token: UUID,
    settings: JobsSettings,
    *,
    won: bool,
    begun: int | None,
    reason: str,
    strike: bool = True,
    worker: UUID | None = None,
) -> tuple[int, int, int]:
    """Take back a lease: (jobs that had begun, jobs that had not, jobs that are dead letters now).

    `begun` counts the jobs that had begun, in carrier order, or is None when nobody knows. Without `strike` a job that
    ran alone is not held to blame. With `worker`, a boot, only a lease that this one has won.
    """
    with link.transaction():
        lost, unstarted, poisoned, over = link.rows(
            "lose",
            token=token,
            won=won,
            begun=begun,
            reason=reason,
            strike=strike,
            worker=worker,
            poison_after=settings.poison_after,
            poison_error=f"lost {settings.poison_after} times while it ran alone: {reason}",
        )[0]
        abandon(link.rows, over)
        call_errbacks(link, over)
    if lost or unstarted:
        logger.warning(
            "lease taken back: %s",
            reason,
            extra={"lease": str(token), "lost": lost, "unstarted": unstarted, "dead_letters": poisoned},
        )
    return lost, unstarted, poisoned
