"""`celery beat` over the database: it reads what is due by the database's clock, so several may run at once."""

import logging
import os
import random
import socket
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import uuid4

from celery import Celery
from celery.beat import Scheduler
from django.db import Error, connections

from jobs.engine.link import jobs_alias
from jobs.engine.unready import unready

from . import code, waiting
from .conf import occurrence_days
from .firing import BATCH, fire
from .policy import Dice
from .sql import rows

logger = logging.getLogger("jobs")

LONGEST_NAP = 0.5
"""Seconds after which an edit is seen at the latest."""
TAKEN_NAP = 0.02
"""Seconds until the next look when another beat has locked all that is due."""
SIGN_OF_LIFE = 5.0
"""Seconds between two renewals of a beat's row."""
PRUNING = 60.0
"""Seconds between two looks for old occurrences."""
PRUNED = 1_000
"""Occurrences that are deleted at once."""
LONGEST_PAUSE = 5.0
"""Seconds between two tries while the database is away."""


class JobScheduler(Scheduler):
    """Celery's own clock, heap and shelf are not used: the next run of each schedule stands in its row."""

    producer = None

    def __init__(
        self,
        app: Celery,
        *args: Any,
        dice: Dice = random.random,
        clock: Callable[[datetime], datetime] = lambda now: now,
        **kwargs: Any,
    ) -> None:
        """`clock` turns the database's time into the time that schedules go by; tests turn it by hand."""
        self.name = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:6]}"
        self._dice = dice
        self._clock = clock
        self._synchronised = False
        self._alive_at = self._prune_at = 0.0
        self._pause = 0.0
        """Seconds of the latest wait for a database that is away."""
        super().__init__(app, *args, **kwargs)
        self.max_interval: float = min(LONGEST_NAP, self.max_interval)

    def setup_schedule(self) -> None:
        """At the first tick: the database may be away now."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Fire a batch of what is due. Returns the seconds until the next look."""
        try:
            nap = self._tick()
        except Error as error:
            return self._wait(error)
        if self._pause:
            logger.info("beat: the database is back")
            self._pause = 0.0
        return nap

    def close(self) -> None:
        try:
            rows("stop_beat", name=self.name)
        except Error as error:
            logger.info("beat: its row stays, the database is away: %s", str(error).strip())
        super().close()

    @property
    def info(self) -> str:
        return f"    . name -> {self.name}"

    def _tick(self) -> float:
        if not self._synchronised:
            code.synchronise(self.app)
            self._synchronised = True
        here = time.time()
        database, next_at, is_fresh, resumes_at, is_waiting = rows("look")[0]
        now = self._clock(database)
        self._keep_house((here + time.time()) / 2 - database.timestamp())
        fired = self._fire(now, is_fresh or any(at is not None and at <= now for at in (next_at, resumes_at)))
        if is_waiting:
            waiting.go_on(self.app, now)
        if fired is not None:
            return 0.0 if fired else TAKEN_NAP
        times = [(at - now).total_seconds() for at in (next_at, resumes_at) if at is not None]
        return max(0.001, min([self.max_interval, *times]))

    def _fire(self, now: datetime, is_due: bool) -> int | None:
        """Schedules that were looked at; None: there was nothing to do."""
        if not is_due:
            return None
        count = fire(self.app, now, dice=self._dice, limit=BATCH)
        if count:
            logger.debug("beat: %d schedules looked at", count)
        return count

    def _keep_house(self, skew: float) -> None:
        if time.monotonic() >= self._alive_at:
            self._alive_at = time.monotonic() + SIGN_OF_LIFE
            rows("beat", name=self.name, skew=skew)
        if time.monotonic() >= self._prune_at and (days := occurrence_days()):
            self._prune_at = time.monotonic() + (1.0 if prune(days) == PRUNED else PRUNING)

    def _wait(self, error: Exception) -> float:
        """The database does not do its part: said once, and tried until it does."""
        if not self._pause:
            said = unready(error) or " ".join(str(error).split())
            logger.warning("beat: the database does not do its part, trying again: %s", said)
        connections[jobs_alias()].close()
        self._pause = min(LONGEST_PAUSE, max(0.1, self._pause * 2))
        return self._pause


def prune(days: int) -> int:
    """Delete a batch of the oldest occurrences; returns how many."""
    return rows("old", days=days, limit=PRUNED)[0][0]
