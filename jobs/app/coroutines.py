"""`async def` tasks: each runs on the event loop of its thread, and what it leaves running there ends with its job."""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import wraps
from types import FrameType
from typing import Any
from weakref import WeakSet

from asgiref.current_thread_executor import CurrentThreadExecutor
from asgiref.sync import SyncToAsync, async_to_sync
from celery._state import _task_stack

from ..errors import CoroutineCancelled
from .current import Current, current
from .event_loop import loop_here

logger = logging.getLogger("jobs")

PATIENCE = 5.0
"""Seconds that what a job left running has to tidy up; then the event loop is replaced."""


def synchronous(fun: Callable[..., Awaitable[Any]]) -> Any:
    """An `async def` task as the function that Celery calls."""

    @wraps(fun)
    def run(*args: Any, **kwargs: Any) -> Any:
        task = _task_stack.top
        request = task.request_stack.top if task is not None else None

        async def body() -> Any:
            with _known_to_celery(task, request):
                return await fun(*args, **kwargs)

        running = current()
        if running is None or running.cancel_coroutine is not None:
            # No job, or a call from inside of one, which finds the job's own loop.
            return async_to_sync(body)()
        return _CoroutineRun(running, body)()

    return run


def is_in_sync_part(frame: FrameType | None) -> bool:
    """Whether this thread, interrupted there, runs a function for a coroutine; otherwise it waits for the coroutine."""
    while frame is not None:
        if frame.f_code is SyncToAsync.thread_handler.__code__:
            return True
        if frame.f_code is CurrentThreadExecutor.run_until_future.__code__:
            return False
        frame = frame.f_back
    return False


@contextmanager
def _known_to_celery(task: Any, request: Any) -> Iterator[None]:
    # Celery keeps both by thread, and the loop has one of its own: `self.request` would be another's.
    if task is None:
        yield
        return
    tasks, requests = _task_stack.push(task), task.request_stack.push(request)
    try:
        yield
    finally:
        # A coroutine that was left alone is closed by whichever thread drops it, in the middle of another job maybe.
        with suppress(ValueError):
            tasks.remove(task)
            requests.remove(request)


class _CoroutineRun:
    """The coroutine of one job. Called by the job's thread, `_main` runs on the loop."""

    def __init__(self, running: Current, body: Callable[[], Awaitable[Any]]) -> None:
        self._running = running
        self._body = body
        self._loop = loop_here()
        self._task: asyncio.Task | None = None  # while it is the job's own code that would be cancelled
        self._is_over = False
        self._begun: WeakSet = WeakSet()

    def __call__(self) -> Any:
        # Before the coroutine begins, until it is over: an exception raised here would leave it running.
        self._running.cancel_coroutine = self._cancel
        try:
            with self._loop.here():
                return async_to_sync(self._main)()
        finally:
            self._running.cancel_coroutine = None
            if not self._is_over:
                self._loop.end()

    def _cancel(self) -> bool:
        """Whether there was something to cancel; asked first, because the loop may be done with it at once."""
        found = self._task is not None
        with suppress(RuntimeError):  # the loop is closed
            self._loop.loop.call_soon_threadsafe(lambda: self._task and self._task.cancel())
        return found

    async def _main(self) -> Any:
        threads = ThreadPoolExecutor(thread_name_prefix="asyncio")
        asyncio.get_running_loop().set_default_executor(threads)
        try:
            with self._noting_generators():
                try:
                    return await self._interruptible()
                finally:
                    self._is_over = self._loop.is_usable and await self._tidy()
        finally:
            # With its threads go the connections that Django has opened for them.
            threads.shutdown(wait=False, cancel_futures=True)

    async def _interruptible(self) -> Any:
        if self._running.interruption is not None:
            raise self._running.interruption  # it struck before the first line
        self._task = asyncio.current_task()
        try:
            return await self._body()
        except asyncio.CancelledError as error:
            if self._running.interruption is None:
                raise CoroutineCancelled(
                    f"The coroutine of {self._running.run.task} was cancelled by its own code: by an asyncio task or "
                    "future that it awaits and that was cancelled, or by what it awaits."
                ) from error
            raise self._running.interruption from None
        finally:
            self._task = None

    @contextmanager
    def _noting_generators(self) -> Iterator[None]:
        before = sys.get_asyncgen_hooks().firstiter

        def note(generator: Any) -> None:
            self._begun.add(generator)
            if before is not None:
                before(generator)

        sys.set_asyncgen_hooks(firstiter=note)
        try:
            yield
        finally:
            sys.set_asyncgen_hooks(firstiter=before)

    async def _tidy(self) -> bool:
        """End what the job left running; its tidying up may still use the ORM. False: some of it does not end."""
        left: set[str] = set()
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.sleep(0)  # the loop begins to close the generators that were dropped just now
                while others := asyncio.all_tasks() - {asyncio.current_task()}:
                    left |= {_name(task) for task in others if not _is_closing(task) and task.cancel()}
                    await asyncio.wait(others)
                for generator in list(self._begun):
                    await _close(generator)
        except TimeoutError:
            self._log(logging.ERROR, "what a task left running does not end: its event loop is replaced", left)
            return False
        if left:
            self._log(logging.WARNING, "a task left coroutines running: they were cancelled", left)
        return True

    def _log(self, level: int, message: str, left: set[str]) -> None:
        run = self._running.run
        logger.log(level, message, extra={"job_id": str(run.id), "task": run.task, "left": sorted(left)})


def _is_closing(task: asyncio.Task) -> bool:
    """Made by the loop to close a generator that nobody holds any more; cancelled, it would stay open."""
    return type(task.get_coro()).__name__ == "async_generator_athrow"


def _name(task: asyncio.Task) -> str:
    return getattr(task.get_coro(), "__qualname__", None) or task.get_name()


async def _close(generator: Any) -> None:
    try:
        await generator.aclose()
    except Exception:
        logger.warning("an asynchronous generator that a task left open failed to close", exc_info=True)
