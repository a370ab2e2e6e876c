"""Exceptions raised in a running task from outside: its soft time limit, its cancellation.

Only a process' main thread can be interrupted, so threads workers run both to the end.
"""

import signal
import threading
from types import FrameType
from typing import Any

from celery.exceptions import Ignore, SoftTimeLimitExceeded
from django.db import connections

from ..engine.execute import Place
from .coroutines import is_in_sync_part
from .current import Current, current

BUSY = 0.01
"""Seconds to wait when a limit strikes while the platform writes progress: its connection must stay whole."""
CANCEL_SIGNAL = signal.SIGUSR2


class JobCancelled(Ignore):
    """Raised in a running task whose job was cancelled. Tidy up and let it pass; soon the process is killed."""


def listen_for_cancel() -> None:
    """Called once in each child process."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(CANCEL_SIGNAL, _cancel)


class interruptible:
    """The block may be interrupted: by its soft limit, and by the main process for its cancellation."""

    __slots__ = ("_before", "_is_timed", "_running")

    def __init__(self, running: Current) -> None:
        self._running = running
        self._is_timed = bool(running.run.soft_time_limit) and threading.current_thread() is threading.main_thread()
        self._before: Any = None

    def __enter__(self) -> None:
        self._running.interruptible = True
        if self._is_timed:
            self._before = signal.signal(signal.SIGALRM, _soft_limit)
            signal.setitimer(signal.ITIMER_REAL, self._running.run.soft_time_limit or 0)

    def __exit__(self, *error: object) -> None:
        running = self._running
        running.interruptible = False
        if self._is_timed:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._before)
        if running.interrupted and not running.place.keeps_connections:
            # It may have happened in the middle of a query, on a connection that Django believes to be idle.
            connections.close_all()


def is_cancelled(place: Place, running: Current) -> bool:
    return place.slots.is_to_stop(place.index, running.run.id)


def _soft_limit(number: int, frame: FrameType | None) -> None:
    running = current()
    if running is None or not running.interruptible:
        return
    if running.committing or running.place.recorder.is_writing:
        signal.setitimer(signal.ITIMER_REAL, BUSY)
        return
    _interrupt(running, SoftTimeLimitExceeded(running.run.soft_time_limit), frame)


def _cancel(number: int, frame: FrameType | None) -> None:
    running = current()
    if running is None or not running.interruptible or not is_cancelled(running.place, running):
        return
    # A second exception would cut off the tidying up; in the middle of a write, the main process asks again soon.
    if not running.asked_to_stop and not running.committing and not running.place.recorder.is_writing:
        running.asked_to_stop = True
        _interrupt(running, JobCancelled(), frame)


def _interrupt(running: Current, error: Exception, frame: FrameType | None) -> None:
    if running.cancel_coroutine is not None:
        running.interruption = error
        if not running.cancel_coroutine() or not is_in_sync_part(frame):
            return
        # The coroutine waits for a function that this thread runs for it, and that is to end, too.
    running.interrupted = True
    raise error
