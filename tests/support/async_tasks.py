"""`async def` tasks that keep something from job to job, or leave something running; `SEEN` is what they saw."""

import asyncio
import os
import signal
import threading
import time

from asgiref.sync import async_to_sync, sync_to_async
from celery import shared_task
from celery.result import AsyncResult
from django.contrib.auth.models import User
from django.db import connection

SEEN: list = []
KEPT: dict = {}


def backend() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


@shared_task
def backend_of_a_plain_task():
    return [threading.get_ident(), backend()]


@shared_task
async def backend_of_a_coroutine():
    return [await sync_to_async(threading.get_ident)(), await sync_to_async(backend)()]


@shared_task
async def which_loop():
    """The loop, and how many asyncio tasks run on it."""
    return [id(asyncio.get_running_loop()), len(asyncio.all_tasks())]


@shared_task
async def talks(port):
    """Over a connection that the module keeps open; returns the name that the server gave it."""
    if "streams" not in KEPT:
        KEPT["streams"] = await asyncio.open_connection("127.0.0.1", port)
    reader, writer = KEPT["streams"]
    writer.write(b"?\n")
    return (await reader.readline()).decode()


async def straggler(name):
    try:
        await asyncio.sleep(60)
    finally:
        await User.objects.acreate(username=name)
        SEEN.append(f"{name} tidied up")


@shared_task
async def leaves_running(name):
    KEPT["straggler"] = asyncio.create_task(straggler(name))
    await asyncio.sleep(0)
    return "done"


@shared_task
async def leaves_a_deaf_one():
    async def deaf():
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                SEEN.append("not listening")

    KEPT["deaf"] = asyncio.create_task(deaf())
    await asyncio.sleep(0)


async def numbers(name):
    try:
        yield 1
        yield 2
    finally:
        await asyncio.sleep(0)
        await User.objects.acreate(username=name)
        SEEN.append(f"{name} closed")


@shared_task
async def leaves_a_generator_open():
    KEPT["generator"] = numbers("kept")
    return await anext(KEPT["generator"])


@shared_task
async def drops_a_generator():
    async for number in numbers("dropped"):
        return number


@shared_task
async def uses_a_thread():
    SEEN.append(await asyncio.to_thread(threading.current_thread))


@shared_task
async def treats_its_loop(how):
    loop = asyncio.get_running_loop()
    if how == "stop":
        loop.stop()
        await asyncio.sleep(0.01)
    if how == "stop and return":
        loop.stop()
    if how == "replace":
        other = asyncio.new_event_loop()
        other.close()
        asyncio.set_event_loop(other)
    if how == "close":
        loop.close()
    if how == "exit":

        async def leave():
            raise SystemExit(3)

        await asyncio.create_task(leave())
    return how


@shared_task(max_retries=1)
async def cancels_itself():
    asyncio.current_task().cancel()
    await asyncio.sleep(1)


@shared_task
async def breaks_its_loop():
    """As a descriptor closed under it does."""
    loop = asyncio.get_running_loop()
    os.close(loop._selector.fileno())
    await asyncio.sleep(0.01)


@shared_task
async def hangs(name):
    KEPT["straggler"] = asyncio.create_task(straggler(name))
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
        SEEN.append(f"{name} was cancelled")
        raise


@shared_task
async def hangs_in_a_function():
    await sync_to_async(time.sleep)(60)


@shared_task
async def goes_on_after_the_limit():
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        return "went on"


@shared_task
async def torn_by_a_signal():
    def strike(*_):
        raise TimeoutError("by a handler of its own")

    def arm():
        signal.signal(signal.SIGALRM, strike)
        signal.setitimer(signal.ITIMER_REAL, 0.05)

    await sync_to_async(arm)()
    await asyncio.sleep(5)
    SEEN.append("went on after its job")


@shared_task
def runs_a_loop(how):
    """A plain task, which brings a loop of its own."""

    async def main():
        return [id(asyncio.get_running_loop()), await sync_to_async(threading.get_ident)()]

    return async_to_sync(main)() if how == "async_to_sync" else asyncio.run(main())


@shared_task
async def calls_another():
    def block():
        return which_loop()

    KEPT["background"] = asyncio.create_task(asyncio.sleep(60))
    await asyncio.sleep(0)
    other = await sync_to_async(block)()
    return [id(asyncio.get_running_loop()), other[0], KEPT["background"].done()]


@shared_task
async def waits_for(task_id, how):
    get = AsyncResult(task_id).get
    return await sync_to_async(get)(timeout=5) if how == "aside" else get(timeout=5)
