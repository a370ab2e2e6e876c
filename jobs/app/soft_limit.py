"""The soft time limit: an exception in the job's own process, which may still tidy up."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from celery.exceptions import SoftTimeLimitExceeded
from django.db import connections

from ..engine.execute import Place

BUSY = 0.01
"""Seconds to wait when the limit strikes while the platform writes progress: its connection must stay whole."""


@contextmanager
def soft_limit(seconds: float | None, place: Place) -> Iterator[None]:
    """Raise SoftTimeLimitExceeded in the block after `seconds`; only a process' main thread can be interrupted."""
    if not seconds or threading.current_thread() is not threading.main_thread():
        yield
        return
    struck = False

    def strike(number: int, frame: FrameType | None) -> None:
        nonlocal struck
        if place.recorder.is_writing:
            signal.setitimer(signal.ITIMER_REAL, BUSY)
            return
        struck = True
        raise SoftTimeLimitExceeded(seconds)

    before = signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if struck:
            # It may have struck in the middle of a query, on a connection that Django believes to be idle.
            connections.close_all()
