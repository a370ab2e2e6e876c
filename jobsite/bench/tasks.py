"""Tasks that cost nothing themselves. Their queue is given to them by `site.Site`."""

import time

from celery import shared_task


@shared_task(max_retries=0)
def noop() -> None:
    """Nothing."""


@shared_task(max_retries=0)
def pause(seconds: float) -> None:
    time.sleep(seconds)


@shared_task(max_retries=0)
def fail() -> None:
    raise ValueError("as it was asked to")


@shared_task(max_retries=0, on_lost="dead_letter")
def alone() -> None:
    """A task whose loss is final never shares a lease with others."""


@shared_task(max_retries=0)
def stamp() -> float:
    """When it was started, seconds since 1970 by the clock of this machine."""
    return time.time()


ALL = (noop, pause, fail, alone, stamp)
