"""Follow one job until it ends, and say on standard error how it goes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO
from uuid import UUID

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from .. import queries
from ..models import Job
from ..states import State

FIRST_LOOK, LAST_LOOK = 0.05, 0.5  # seconds
Show = Callable[[Job, str], None]


def follow(
    job_id: UUID,
    show: Show,
    *,
    timeout: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Job:
    """Show the job at every look until it is final or `timeout` seconds have passed; returns the last look at it."""
    until = None if timeout is None else clock() + timeout
    pause = FIRST_LOOK
    while True:
        job = queries.find_job(job_id)
        show(job, sentence(job))
        left = None if until is None else until - clock()
        if job.is_final or (left is not None and left <= 0):
            return job
        sleep(pause if left is None else min(pause, left))
        pause = min(LAST_LOOK, pause * 1.3)


def sentence(job: Job) -> str:
    """What the job does now, and what it waits for."""
    match job.state:
        case State.PENDING | State.DISPATCHED:
            return missing_process(job) or f"{job.state} in queue {job.queue}"
        case State.SCHEDULED:
            return f"scheduled for {job.run_at:%Y-%m-%d %H:%M:%S} UTC"
        case State.RETRYING:
            return f"attempt {job.attempt} failed: {job.error}; {_next_attempt(job)}"
        case State.RUNNING:
            return f"running on {job.worker}{_message(job)}"
    return f"{queries.status_of(job)} after {job.attempt} attempt{'' if job.attempt == 1 else 's'}"


def missing_process(job: Job) -> str:
    """The process that a waiting job needs and that is not there, with how to start it; empty if all are."""
    if not queries.dispatchers():
        return "waiting: no dispatcher is running: start `python3 manage.py dispatch` or `python3 manage.py up`"
    if queries.unserved([job.queue], queries.live_workers()):
        return (
            f"waiting: no live worker serves queue {job.queue}: "
            "start `celery -A jobsite worker` or `python3 manage.py up`"
        )
    return ""


@contextmanager
def display(stream: TextIO) -> Iterator[Show]:
    """A live bar on a terminal; elsewhere one line for every change."""
    if not stream.isatty():
        yield lines(stream)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(file=stream), transient=True) as progress:
        bar = progress.add_task("", total=None)

        def show(job: Job, text: str) -> None:
            done = job.progress or {}
            progress.update(bar, description=text, completed=done.get("current") or 0, total=done.get("total"))

        yield show


def lines(stream: TextIO) -> Show:
    said = ""

    def show(job: Job, text: str) -> None:
        nonlocal said
        if text != said:
            said = text
            stream.write(text + "\n")

    return show


def _next_attempt(job: Job) -> str:
    seconds = (job.run_at - job.updated_at).total_seconds()
    return f"next attempt {seconds:.0f} s later, at {job.run_at:%H:%M:%S} UTC"


def _message(job: Job) -> str:
    done = job.progress or {}
    percentage = f": {done['percentage']:g} %" if done.get("percentage") is not None else ""
    return f"{percentage} {done['message']}".rstrip() if done.get("message") else percentage
