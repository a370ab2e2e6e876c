"""Tasks of the soak; each writes into the ledger when it starts, when it has its effect and when it ends."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import shared_task

from jobs.app.current import current
from jobs.engine.failpoints import failpoint

from . import ledger

FLAKY_FAILURES = 2
DOOMED_RETRIES = 1


@contextmanager
def noted(seconds: float = 0.0) -> Iterator[None]:
    """The work of a task, between two lines; an end is written also when it fails."""
    running = current()
    assert running is not None
    job, attempt = str(running.run.id), running.run.attempt
    ledger.write([("start", job, attempt)])
    failpoint("K3")
    time.sleep(seconds)
    ledger.write([("effect", job, attempt)])
    try:
        yield
    finally:
        ledger.write([("end", job, attempt)])


@shared_task
def noop() -> None:
    with noted():
        pass


@shared_task
def short() -> str:
    with noted(0.01):
        return "done"


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
def flaky(self: Any) -> int:
    """Fails the first times."""
    with noted():
        if self.request.retries < FLAKY_FAILURES:
            raise ConnectionError("not yet")
        return self.request.retries


@shared_task(max_retries=DOOMED_RETRIES)
def doomed() -> None:
    with noted():
        raise ValueError("never")
