"""A worker's child process (or thread): where jobs run."""

import logging
import threading
from uuid import UUID

from billiard import current_process
from celery import Celery, current_app

from ..engine.execute import Place, carry
from ..engine.link import Link
from ..engine.record import Recorder
from ..engine.slots import Slots
from .interrupts import listen_for_cancel
from .runner import Runner

logger = logging.getLogger("jobs")

_here = threading.local()
_shared: tuple[Celery, str, Slots] | None = None


def share(app: Celery, node: str, slots: Slots) -> None:
    """Called in the main process before it forks: what its children need to know."""
    global _shared
    _shared = (app, node, slots)


def carry_here(token: str, boot: str) -> int | str:
    """Run one lease in this process; returns how many jobs ran, or why the lease was not carried to its end."""
    runner, place = _runner()
    place.worker = UUID(boot)
    try:
        return carry(UUID(token), place, runner)
    except Exception as error:
        # An answer, not an exception: a pool of threads would tell nobody.
        logger.exception("a lease was not carried to its end", extra={"lease": token})
        return f"{type(error).__name__}: {error}"
    finally:
        runner.flush()


def _runner() -> tuple[Runner, Place]:
    """The runner of this thread, made at its first lease: a connection must not be older than the fork."""
    kept = getattr(_here, "kept", None)
    process = current_process()
    if kept is None or kept[2] != process.pid:
        assert _shared is not None, "share() runs before the pool starts"
        app, node, slots = _shared
        link = Link(f"jobs worker {node}", lock_timeout=1.0)
        place = Place(UUID(int=0), node, _index(process), slots, link, Recorder(link, node))
        listen_for_cancel()
        kept = _here.kept = (Runner(app or current_app, place), place, process.pid)
    return kept[0], kept[1]


_next_thread = iter(range(512, 1024))


def _index(process: object) -> int:
    """A slot of one's own: Celery numbers child processes; threads take the upper half."""
    index = getattr(process, "index", None)
    return index if isinstance(index, int) else next(_next_thread)
