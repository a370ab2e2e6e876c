"""Tasks of the soak; each writes into the ledger when it starts, when it has its effect and when it ends."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import shared_task
from django.db import connection

from jobs.app.current import current
from jobs.engine.failpoints import failpoint

from . import effects, ledger

FLAKY_FAILURES = 2
DOOMED_RETRIES = 1
SNOOZE, SNOOZED = 0.2, 0.6
"""Seconds, and the share of starts that end in one."""


@contextmanager
def noted(seconds: float = 0.0) -> Iterator[None]:
    """The work of a task, between two lines; an end is written also when it fails."""
    job, attempt = _who()
    ledger.write([("start", job, attempt)])
    try:
        failpoint("K3")
        time.sleep(seconds)
        ledger.write([("effect", job, attempt)])
        yield
    finally:
        ledger.write([("end", job, attempt)])


def _who() -> tuple[str, int]:
    running = current()
    assert running is not None
    return str(running.run.id), running.run.attempt


def counted(given: tuple[int, ...]) -> int:
    """The number of this step of a chain, the last of what was given; before it comes the result of the step before."""
    *before, number = given or (0,)
    if before not in ([], [number - 1]):
        raise AssertionError(f"step {number} was given the result {before}")
    return number


@shared_task
def noop(*given: int) -> int:
    with noted():
        return counted(given)


@shared_task
def short(*given: int) -> int:
    with noted(0.01):
        return counted(given)


@shared_task
def long(seconds: float) -> str:
    with noted(seconds):
        return "done"


@shared_task(bind=True)
def reporting(self: Any) -> int:
    with noted(0.02):
        for step in range(3):
            self.progress(step, 3, "under way")
        return 3


@shared_task(bind=True, max_retries=3)
def flaky(self: Any, *given: int) -> int:
    """Fails the first times."""
    with noted():
        if self.request.retries < FLAKY_FAILURES:
            raise ConnectionError("not yet")
        return counted(given)


@shared_task(max_retries=DOOMED_RETRIES)
def doomed(*given: int) -> None:
    with noted():
        raise ValueError("never")


@shared_task(on_lost="dead_letter")
def once(*given: int) -> int:
    """Never started a second time."""
    with noted(0.01):
        return counted(given)


@shared_task(bind=True)
def snoozing(self: Any) -> None:
    """Runs again and again, at no expense, as chance has it."""
    with noted():
        if random.random() < SNOOZED:
            ledger.write([("snoozed", *_who())])
            self.snooze(SNOOZE)


@shared_task
def unique() -> None:
    """Long enough to be in the way of the next one with its key."""
    with noted(0.1):
        pass


@shared_task
def collect(results: list[int], size: int) -> int:
    """The body of a chord."""
    with noted():
        if results != list(range(size)):
            raise AssertionError(f"expected 0 to {size - 1}, got {results}")
        return size


# A database that is away while it commits is a failure of the task: it has retries for all of them.
@shared_task(bind=True, max_retries=1000, retry_backoff=1)
def paying(self: Any, *given: int) -> int:
    """Writes into the database within commit(); some fail before its end the first time, some after it."""
    job, attempt = _who()
    with noted():
        with self.commit() as done:
            with connection.cursor() as cursor:
                cursor.execute(effects.INSERT, [job, attempt])
            failpoint("K3")
            if job[-1] in "0123" and self.request.retries == 0:
                raise ConnectionError("rolled back")
            done.result = counted(given)
        if job[-1] in "89ab":
            raise ValueError("too late to change anything")
    return -1
