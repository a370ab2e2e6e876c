"""What each of Celery's pools can do for jobs, said when a worker starts."""

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from celery.concurrency.prefork import TaskPool as Prefork
from celery.concurrency.solo import TaskPool as Solo
from celery.concurrency.thread import TaskPool as Threads

from ..conf import JobsSettings

SUPPORTED = (Prefork, Threads, Solo)


def refusal(pool: type, settings: JobsSettings) -> str | None:
    """Why a worker must not start on this pool, and what to do; None if it may."""
    name = pool.__module__.rpartition(".")[2]
    if not issubclass(pool, SUPPORTED):
        return (
            f"The pool {name!r} can't run jobs: their leases, time limits and database connections need processes or "
            "threads of the system. Start the worker with -P prefork (best), -P threads or -P solo."
        )
    if can_interrupt(pool):
        return None
    given = [f"JOBS_{field.upper()}" for field in ("timeout", "max_memory_per_child") if getattr(settings, field)]
    if given:
        return (
            f"{' and '.join(given)} can't hold on a worker with a pool of {name!r}: a thread can't be stopped from "
            "outside. Start it with -P prefork, or without the setting."
        )
    return None


def limited(pool: type, tasks: Iterable[Any]) -> list[str]:
    """Names of the tasks whose time limits this pool can't enforce."""
    if can_interrupt(pool):
        return []
    return sorted(task.name for task in tasks if task.time_limit or task.soft_time_limit)


def can_interrupt(pool: type) -> bool:
    return issubclass(pool, Prefork)


def replace_dead(pool: Any) -> None:
    """Start a process for each that has ended.

    Celery looks once, when the pipe of a process closes, which is just before the process can be waited for: whoever
    is missed then would be replaced by a look every 5 s, and its slot would stand empty so long.
    """
    with suppress(ChildProcessError):
        if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            pool.maintain_pool()
