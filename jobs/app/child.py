"""A worker's child process (or thread): where jobs run."""

import gc
import logging
import os
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from billiard import current_process
from billiard.pool import EX_RECYCLE
from celery import Celery, current_app, signals

from ..conf import jobs_settings
from ..engine.execute import Place, carry_all
from ..engine.link import Link
from ..engine.maintenance import give_back_unwon
from ..engine.record import Recorder
from ..engine.slots import Slots
from .interrupts import listen_for_cancel
from .runner import Runner

logger = logging.getLogger("jobs")


YOUNG = 5.0
"""Seconds that a child process lives at least: short jobs must not keep their worker busy with making children."""


@dataclass(slots=True)
class _Child:
    """This process, or this thread, with the number of jobs that it has run since it began to."""

    pid: int
    runner: Runner
    place: Place
    is_process: bool
    since: float
    ran: int = 0


_here = threading.local()
_shared: tuple[Celery, str, Slots, int] | None = None


def share(app: Celery, node: str, slots: Slots, jobs_per_child: int) -> None:
    """Called in the main process before it forks: what its children need to know."""
    global _shared
    _shared = (app, node, slots, jobs_per_child)


def carry_here(tokens: Sequence[str], boot: str) -> int | str:
    """Run the leases of a message in this process; returns how many jobs ran, or why one was not carried to its end.

    Raises SystemExit(EX_RECYCLE) after the message for which this process has run enough jobs.
    """
    child = _child()
    child.place.worker = UUID(boot)
    try:
        ran: int | str = _carry_all([UUID(token) for token in tokens], child)
    except Exception as error:
        # An answer, not an exception: a pool of threads would tell nobody.
        logger.exception("a lease was not carried to its end", extra={"leases": tokens})
        child.place.slots.forget_job(child.place.index)
        ran = f"{type(error).__name__}: {error}"
    finally:
        child.runner.flush()
    if child.place.is_maimed and child.is_process:
        logger.error(
            "a task closed descriptors that are not its own: its process is replaced", extra={"leases": tokens}
        )
        os._exit(1)  # the pool's pipes may be closed too, or be something else by now
    if isinstance(ran, int) and _is_spent(child, ran):
        # The pool's own way out: it sends the answer first, and waits until it has been read.
        sys.exit(EX_RECYCLE)
    return ran


def _carry_all(tokens: Sequence[UUID], child: _Child) -> int:
    ran, rest = carry_all(tokens, child.place, child.runner)
    give_back_unwon(child.place.link, rest, jobs_settings(), reason="the worker does not come to it in time")
    return ran


def _is_spent(child: _Child, ran: int) -> bool:
    assert _shared is not None
    child.ran += ran
    if not child.is_process or not 0 < _shared[3] <= child.ran or time.monotonic() - child.since < YOUNG:
        return False
    logger.info("a child process is replaced after %d jobs", child.ran)
    return True


def _child() -> _Child:
    """What this thread runs jobs with, made at its first lease: a connection must not be older than the fork."""
    kept: _Child | None = getattr(_here, "kept", None)
    process = current_process()
    if kept is None or kept.pid != process.pid:
        assert _shared is not None, "share() runs before the pool starts"
        app, node, slots, _ = _shared
        link = Link(f"jobs worker {node}", lock_timeout=1.0)
        number = getattr(process, "index", None)
        is_process = isinstance(number, int)
        index = slots.for_child(number) if isinstance(number, int) else _thread_slot(slots.size)
        place = Place(UUID(int=0), node, index, slots, link, Recorder(link, node))
        listen_for_cancel()
        kept = _here.kept = _Child(process.pid, Runner(app or current_app, place), place, is_process, time.monotonic())
        if is_process:
            _collect_less_often()
            signals.worker_process_shutdown.connect(_leave_at_once, weak=False, dispatch_uid="jobs.child")
    return kept


def _collect_less_often() -> None:
    """Python's default looks for cycles after 700 new objects, every tenth job. A site's own choice stands."""
    gc.freeze()
    if gc.get_threshold() == (700, 10, 10):
        gc.set_threshold(10_000, 10, 10)


def _leave_at_once(exitcode: int, **_: Any) -> None:
    """A process that is to be replaced has told everything: the pool's own second of waiting would be a lost one."""
    if exitcode == EX_RECYCLE:
        logging.shutdown()
        os._exit(exitcode)


_threads: dict[int, threading.Thread] = {}
_taking = threading.Lock()


def _thread_slot(size: int) -> int:
    """A slot that no live thread has."""
    with _taking:
        index = next(n for n in range(size) if n not in _threads or not _threads[n].is_alive())
        _threads[index] = threading.current_thread()
        return index
