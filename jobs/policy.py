"""Decisions as pure functions: no database, no Celery, no clock and no dice of their own."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from .states import End, State

PRIORITIES = {"low": 0, "normal": 10, "high": 20, "critical": 30}

T = TypeVar("T")


def retry_delay(retry: int, *, base: float, factor: float, cap: float, spread: float, dice: float) -> float:
    """Seconds before retry 1, 2, …: min(cap, base × factorʳ⁻¹), spread by ± that share; `dice` is in [0, 1]."""
    try:
        raw = base * factor ** (retry - 1)
    except OverflowError:
        raw = math.inf
    return min(cap, raw) * (1 - spread + 2 * spread * dice)


def may_retry(retries: int, max_retries: int | None) -> bool:
    """Whether another retry is allowed after `retries` spent ones; None is no limit."""
    return max_retries is None or retries < max_retries


@dataclass(frozen=True, slots=True)
class RetryRule:
    """How one kind of failure is retried: seconds before the first retry, growth, longest wait, how often."""

    delay: float
    backoff: float
    backoff_max: float
    max_retries: int | None


class Verdict(NamedTuple):
    """Seconds until the next retry; None: the failure is final, `why` if it is not the count alone that says so."""

    delay: float | None
    why: str = ""


def judge_failure(
    retries: int,
    rule: RetryRule,
    *,
    now: datetime,
    until: datetime | None,
    least: float = 0.0,
    spread: float,
    dice: float,
) -> Verdict:
    """Whether a failure is retried after `retries` spent ones: not before `least` seconds, and none after `until`."""
    if not may_retry(retries, rule.max_retries):
        return Verdict(None)
    delay = retry_delay(
        retries + 1, base=rule.delay, factor=rule.backoff, cap=rule.backoff_max, spread=spread, dice=dice
    )
    return in_time(max(least, delay), now=now, until=until)


def in_time(delay: float, *, now: datetime, until: datetime | None) -> Verdict:
    """The delay, unless a retry after so many seconds would begin after `until`."""
    if until is None or delay <= (until - now).total_seconds():
        return Verdict(delay)
    end = until.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return Verdict(None, f"not retried: its time for retries (retry_for) ends at {end} UTC")


def nearest(error: BaseException, rules: Mapping[type, T]) -> T | None:
    """What the rules say of an exception; the rule of its most specific class holds."""
    return next((rules[kind] for kind in type(error).__mro__ if kind in rules), None)


def seconds_to_wait(value: object, now: datetime) -> float:
    """A `Retry-After` as seconds from now, 0 if it is past: a number, its text, a timedelta, a datetime, an HTTP date.

    A datetime without a zone is UTC. Raises ValueError for anything else.
    """
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, datetime):
        seconds = _from(now, value)
    elif isinstance(value, int | float | str) and not isinstance(value, bool):
        seconds = _number_or_date(value, now)
    else:
        raise ValueError(f"{value!r:.80} is no time to wait")
    if math.isnan(seconds):
        raise ValueError(f"{value!r:.80} is no time to wait")
    return max(0.0, seconds)


def _number_or_date(value: float | str, now: datetime) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if isinstance(value, int) and value > 0 else 0.0
    except ValueError:
        pass
    try:
        return _from(now, parsedate_to_datetime(str(value)))
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        raise ValueError(f"{value!r:.80} is no time to wait") from error


def _from(now: datetime, moment: datetime) -> float:
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds()


@dataclass(slots=True)
class Outcome:
    """What one run of one job ended with, ready to be recorded.

    Times are aware UTC on the database's clock. `result` is JSON; `delay` is seconds until the next attempt;
    `args`, `kwargs` and `options` are new JSON of a retry, `queue` and `priority` its new place, or None to keep them.
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
    queue: str | None = None
    priority: int | None = None
    options: str | None = None
    progress: str | None = None
    children: str | None = None
    """JSON: results of the jobs it called, as Celery lists them."""
    next_jobs: Sequence[Any] = ()
    """Jobs to insert in the transaction that records this outcome."""
    next_chords: Sequence[Any] = ()
    """Chords to insert before them."""
    in_chord: bool = False
    """Whether the job is a member of a chord."""
    committed: bool = False
    """On record already, by the task's own transaction."""


class Candidate(NamedTuple):
    """A pending job as the dispatcher sees it; `alone`: it was lost before, or its loss would be final."""

    id: UUID
    task: str
    alone: bool = False
    rank: int = 0


MESSAGE = 0.003
"""Seconds of a worker's slot that a message costs besides its jobs."""


def place(job: Candidate, *, expected: Callable[[str], float | None], target: float, most: int) -> float:
    """The part of a place in the window that a carrier takes which begins with this job.

    Short jobs that must travel alone fill one together, or a slot would stand still while it is filled one by one.
    """
    if not job.alone and most > 1:
        return 1.0
    seconds = _known(expected(job.task)) + MESSAGE
    return seconds / target if seconds < target else 1.0


def plan_carriers(
    front: Sequence[Candidate],
    room: int,
    *,
    expected: Callable[[str], float | None],
    target: float,
    most: int,
) -> list[list[Candidate]]:
    """Group the front of a queue, in order, into carriers for `room` places.

    Jobs share a carrier while their expected durations (seconds, None = unknown) sum to at most `target` and they
    are spread over the room there is; slow and unknown ones travel alone, and those that must.
    """
    share = min(most, max(1, math.ceil(len(front) / max(1, room))))
    carriers: list[list[Candidate]] = []
    if room <= 0:
        return carriers
    load, taken = math.inf, 0.0
    for job in front:
        seconds = math.inf if job.alone else _known(expected(job.task))
        if not carriers or load + seconds > target or len(carriers[-1]) >= share:
            taken += place(job, expected=expected, target=target, most=most)
            if taken > room:
                break
            carriers.append([])
            load = 0.0
        carriers[-1].append(job)
        load += seconds
    return carriers


def lull(carriers: Sequence[Sequence[Candidate]], expected: Callable[[str], float | None]) -> float:
    """Seconds without need for a further carrier: a quarter of the least work among these, 0 if one is unknown."""
    return min(sum(expected(job.task) or 0.0 for job in carrier) for carrier in carriers) / 4


def share_messages(leases: Sequence[T], places: Sequence[float], room: int, most: int) -> list[list[T]]:
    """Which leases, in order, go to a worker in one message: up to a place together, spread over the room there is."""
    share = min(most, math.ceil(len(leases) / room))
    messages: list[list[T]] = []
    taken = 1.0
    for lease, size in zip(leases, places, strict=True):
        if not messages or taken + size > 1.0 or len(messages[-1]) >= share:
            messages.append([])
            taken = 0.0
        messages[-1].append(lease)
        taken += size
    return messages


def _known(seconds: float | None) -> float:
    return math.inf if seconds is None or math.isnan(seconds) else max(0.0, seconds)
