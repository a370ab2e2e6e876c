"""Decisions as pure functions: no database, no Celery, no clock and no dice of their own."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from .states import End, State

PRIORITIES = {"low": 0, "normal": 10, "high": 20, "critical": 30}


def retry_delay(retry: int, *, base: float, factor: float, cap: float, jitter: float) -> float:
    """Seconds before retry 1, 2, …: min(cap, base × factorʳ⁻¹), spread by ±20 %; `jitter` is in [0, 1]."""
    try:
        raw = base * factor ** (retry - 1)
    except OverflowError:
        raw = math.inf
    return min(cap, raw) * (0.8 + 0.4 * jitter)


def may_retry(retries: int, max_retries: int | None) -> bool:
    """Whether another retry is allowed after `retries` spent ones; None is no limit."""
    return max_retries is None or retries < max_retries


@dataclass(slots=True)
class Outcome:
    """What one run of one job ended with, ready to be recorded.

    Times are aware UTC on the database's clock. `result` is JSON; `delay` is seconds until the next attempt;
    `args` and `kwargs` are new JSON arguments of a retry, or None to keep them.
    """

    job_id: UUID
    state: State
    end: End
    started_at: datetime
    finished_at: datetime
    result: str | None = None
    error: str | None = None
    traceback: str | None = None
    delay: float | None = None
    spent: int = 0
    args: str | None = None
    kwargs: str | None = None
    progress: str | None = None
    next_jobs: Sequence[Any] = ()
    """Jobs to insert in the transaction that records this outcome."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pending job as the dispatcher sees it; `was_lost` means an earlier start of it ended without an outcome."""

    id: UUID
    task: str
    was_lost: bool = False


def plan_carriers(
    front: Sequence[Candidate],
    room: int,
    *,
    expected: Callable[[str], float | None],
    target: float,
    most: int,
) -> list[list[Candidate]]:
    """Group the front of a queue, in order, into at most `room` carriers.

    Jobs share a carrier while their expected durations (seconds, None = unknown) sum to at most `target` and they
    are spread over the room there is; slow, unknown and once lost jobs travel alone.
    """
    share = min(most, max(1, math.ceil(len(front) / max(1, room))))
    carriers: list[list[Candidate]] = []
    if room <= 0:
        return carriers
    load = math.inf
    for job in front:
        seconds = math.inf if job.was_lost else _known(expected(job.task))
        if not carriers or load + seconds > target or len(carriers[-1]) >= share:
            if len(carriers) == room:
                break
            carriers.append([])
            load = 0.0
        carriers[-1].append(job)
        load += seconds
    return carriers


def _known(seconds: float | None) -> float:
    return math.inf if seconds is None or math.isnan(seconds) else max(0.0, seconds)
