"""Tasks for the tests; they leave their traces in files, outside the database under test."""

import asyncio
import os
import signal
import time
from pathlib import Path

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.contrib.auth.models import User
from django.db import connection, transaction

from jobs.app.interrupts import JobCancelled


@shared_task
def add(x, y):
    return x + y


@shared_task
def noop():
    return None


@shared_task
def fail(message="no luck"):
    raise ValueError(message)


@shared_task
def leave(folder, name):
    """Append this process to the trace `name`: one line for every time that the job ran."""
    with open(Path(folder) / name, "a") as trace:
        trace.write(f"{os.getpid()}\n")


@shared_task
def work(folder, name, seconds):
    leave.run(folder, name)
    time.sleep(seconds)


@shared_task(bind=True)
def mark(self, ledger, seconds=0.004):
    """Write this job's id into the ledger, then take a little time."""
    with open(ledger, "a") as file:
        file.write(f"{self.request.id}\n")
    time.sleep(seconds)


@shared_task
def counted(ledger, number):
    """Write the number into the ledger, take a little time, and return it."""
    with open(ledger, "a") as file:
        file.write(f"{number}\n")
    time.sleep(0.02)
    return number


@shared_task
def summed(numbers):
    return sum(numbers)


@shared_task
def stubborn():
    """Nothing but the end of its process stops it."""
    while True:
        try:
            time.sleep(60)
        except BaseException:
            continue


@shared_task
def obey():
    try:
        time.sleep(60)
    except SoftTimeLimitExceeded:
        return "tidied up"


@shared_task(bind=True)
def polite(self, started):
    """Wait until someone cancels this job, and return by itself then."""
    Path(started).touch()
    while not self.is_cancelled():
        try:
            time.sleep(0.01)
        except JobCancelled:
            continue
    return "stopped by itself"


@shared_task
def interrupted(started, tidied):
    Path(started).touch()
    try:
        time.sleep(60)
    finally:
        time.sleep(1.2)  # longer than the worker waits before it looks again
        Path(tidied).touch()


@shared_task
async def waits(tidied):
    try:
        await asyncio.sleep(60)
    finally:
        Path(tidied).touch()


@shared_task
async def sleeps_beside_another(started, tidied):
    beside = asyncio.create_task(waits.run.__wrapped__(tidied))
    await asyncio.sleep(0)
    Path(started).touch()
    await asyncio.sleep(60)
    await beside


LOCK = asyncio.Lock()


@shared_task
async def takes_turns():
    """A lock of the module, wanted by two at once: from then on it belongs to this loop."""

    async def turn():
        async with LOCK:
            await asyncio.sleep(0)

    await asyncio.gather(turn(), turn())
    return [os.getpid(), id(asyncio.get_running_loop())]


@shared_task
async def closes_descriptors_in_a_coroutine():
    os.closerange(3, 256)
    await asyncio.sleep(0.01)


@shared_task
def deaf(started):
    Path(started).touch()
    stubborn.run()


@shared_task(on_lost="dead_letter")
def dies_once(folder, name):
    """Leave a trace, and die of what no handler sees."""
    leave.run(folder, name)
    os.kill(os.getpid(), signal.SIGKILL)


@shared_task(on_lost="dead_letter")
def lasts_once(folder, name):
    leave.run(folder, name)
    stubborn.run()


@shared_task(bind=True, track=False)
def untracked(self, ledger):
    """Stock Celery's: no job stands for it."""
    Path(ledger).write_text(self.request.id)
    return "done"


@shared_task
def closes_descriptors():
    os.closerange(3, 256)
    return os.getpid()


@shared_task
def my_pid():
    return os.getpid()


@shared_task(bind=True)
def killed_at_commit(self, folder, moment):
    """Commit one user; the first run is killed right before its COMMIT is sent, or right after it was answered."""
    first = not (Path(folder) / "runs").exists()
    leave.run(folder, "runs")

    def die():
        os.kill(os.getpid(), 9)

    with self.commit() as done:
        User.objects.create(username=f"user {User.objects.count()}")
        done.result = "done"
        if first and moment == "before":
            connection.commit = die
        if first and moment == "after":
            transaction.on_commit(die)
