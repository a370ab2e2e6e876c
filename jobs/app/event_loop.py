"""The event loop of a thread that runs jobs: it lives from job to job, in a thread of its own beside it.

What a coroutine asks of `sync_to_async`, Django's ORM above all, is done meanwhile by the thread that runs the job.
"""

import asyncio
import logging
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from asgiref.sync import SyncToAsync

logger = logging.getLogger("jobs")


class EventLoop:
    """Made at the first `async def` job of a thread; ends with that thread."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._ended = threading.Event()
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=_serve, args=(self.loop, self._ended), name="jobs-event-loop", daemon=True).start()
        self._end = weakref.finalize(self, _end, self.loop, self._ended)
        self._end.atexit = False

    @property
    def is_usable(self) -> bool:
        # A fork has the loop, but not the thread that runs it.
        return self._pid == os.getpid() and not self._ended.is_set() and not self.loop.is_closed()

    def end(self) -> None:
        """Nothing goes on in it, and the next job has another one."""
        self._end()

    @contextmanager
    def here(self) -> Iterator[None]:
        """Inside, this thread's `async_to_sync` uses this loop, as it does below any loop that it knows of."""
        known = vars(SyncToAsync.threadlocal)
        before = dict(known)
        known.update(main_event_loop=self.loop, main_event_loop_pid=self._pid, task_context=None)
        try:
            yield
        finally:
            known.clear()
            known.update(before)


_here = threading.local()
_broken: list[asyncio.AbstractEventLoop] = []
"""Kept: to close one would close descriptors that may be somebody else's by now."""


def loop_here() -> EventLoop:
    kept: EventLoop | None = getattr(_here, "kept", None)
    if kept is None or not kept.is_usable:
        kept = _here.kept = EventLoop()
    return kept


def _serve(loop: asyncio.AbstractEventLoop, ended: threading.Event) -> None:
    asyncio.set_event_loop(loop)
    while not ended.is_set():
        try:
            # Again, if a job has stopped it: it is not that job's own, and others would wait for ever.
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt):
            logger.debug("an asyncio task raised SystemExit; whoever awaits it has it too")
        except BaseException as error:
            logger.exception("an event loop broke: the next job of its thread gets another one")
            ended.set()
            _broken.append(loop)
            _throw(loop, error)
            return
    loop.close()


def _throw(loop: asyncio.AbstractEventLoop, error: BaseException) -> None:
    """End by hand what a broken loop can't end: somebody waits for it."""
    for task in asyncio.all_tasks(loop):
        with suppress(BaseException):
            task.get_coro().throw(error)
        with suppress(BaseException):
            task.get_coro().close()


def _end(loop: asyncio.AbstractEventLoop, ended: threading.Event) -> None:
    ended.set()
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(loop.stop)
