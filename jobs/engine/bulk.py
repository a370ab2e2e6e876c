"""Operator verbs over a filter: counted first, then moved in chunks, each in a transaction of its own.

Every verb takes `dry_run` (count only), `everything` (an empty filter is meant), `most` (jobs at most), and who asks.
Jobs that are created after the start are left alone. One audit entry tells the filter and the count, besides those of
the single jobs.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count, QuerySet

from ..errors import InvalidFilter
from ..models import Job
from ..states import CANCEL, DISMISS, ESCALATE, FINAL, LEASED, REQUEUE, WAITING, State
from . import control
from .control import POSTPONABLE
from .filters import JobFilter
from .link import jobs_alias
from .newjob import priority_number
from .operators import who

CHUNK = 500
"""Jobs of one transaction."""
Verb = Callable[[Sequence[UUID]], Collection[Any]]


@dataclass(slots=True)
class Done:
    """What a verb found, by state, before it began, and how many jobs it moved: 0 of a dry run."""

    verb: str
    found: dict[str, int] = field(default_factory=dict)
    moved: int = 0

    @property
    def count(self) -> int:
        return sum(self.found.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """Who asks, why, and how far it may go. Raises InvalidActor."""

    actor: str
    reason: str = ""
    ip: str | None = None
    dry_run: bool = False
    everything: bool = False
    most: int | None = None

    def __post_init__(self) -> None:
        who(self.actor)

    @property
    def who(self) -> dict[str, Any]:
        return {"actor": self.actor, "reason": self.reason, "ip": self.ip}


def requeue(which: JobFilter, request: Request, *, per_second: float | None = None) -> Done:
    """Run finished jobs again; with `per_second` they are scheduled at that rate instead of all at once."""
    if per_second is not None and not 0.001 <= per_second <= 1_000_000:
        raise InvalidFilter(f"A rate of {per_second!r} jobs a second is not known; expected 0.001 to 1,000,000.")
    before = 0

    def verb(ids: Sequence[UUID]) -> list[UUID]:
        nonlocal before
        delays = None if per_second is None else [(before + place) / per_second for place in range(len(ids))]
        before += len(ids)
        return control.requeue(ids, delays=delays, **request.who)

    detail = {} if per_second is None else {"per_second": per_second}
    return _over(which, "requeue", REQUEUE.sources, verb, request, detail)


def cancel(which: JobFilter, request: Request, *, running: bool = True) -> Done:
    """End jobs that wait and, with `running`, ask for the end of those that workers have."""

    def verb(ids: Sequence[UUID]) -> list[UUID]:
        done = control.cancel(ids, running=running, **request.who)
        return done.now + done.asked

    # Those that no worker has won yet are cancelled too, so `dispatched` is always taken.
    return _over(which, "cancel", CANCEL.sources | LEASED, verb, request, {"running": running})


def purge(which: JobFilter, request: Request) -> Done:
    """Delete finished jobs with their attempts; those that a live job or a unique key needs stay."""
    return _over(which, "purge", FINAL, lambda ids: control.purge(ids), request, {})


def boost(which: JobFilter, request: Request, *, points: int) -> Done:
    """Raise the priority of waiting jobs, to 100 at most."""
    return _over(
        which, "boost", WAITING, lambda ids: control.boost(ids, points, **request.who), request, {"points": points}
    )


def set_priority(which: JobFilter, request: Request, *, priority: int | str) -> Done:
    """Give waiting jobs a priority, −100…100 or its name. Raises InvalidJob."""
    number = priority_number(priority)
    return _over(
        which,
        "set_priority",
        WAITING,
        lambda ids: control.set_priority(ids, number, **request.who),
        request,
        {"priority": number},
    )


def postpone(which: JobFilter, request: Request, *, run_at: datetime) -> Done:
    """Let waiting jobs start at another time, later or sooner; a time that is past is now. Raises InvalidJob."""
    detail = {"run_at": run_at.isoformat()}
    return _over(
        which, "postpone", POSTPONABLE, lambda ids: control.postpone(ids, run_at, **request.who), request, detail
    )


def set_state(which: JobFilter, request: Request, *, state: str) -> Done:
    """Move jobs to a state by the verb that leads there. Raises InvalidFilter for a state that no operator gives."""
    match state:
        case State.PENDING:
            return requeue(which, request)
        case State.CANCELLED:
            return cancel(which, request)
        case State.DEAD_LETTER | State.FAILED:
            move = ESCALATE if state == State.DEAD_LETTER else DISMISS
            return _over(
                which, move.name, move.sources, lambda ids: control.reclassify(ids, move, **request.who), request, {}
            )
    raise InvalidFilter(
        f"No operator can make a job {state!r}: pending (from {_named(REQUEUE.sources)}), cancelled (from "
        f"{_named(CANCEL.sources | LEASED)}), dead_letter (from failed) and failed (from dead_letter) are possible."
    )


def _over(
    which: JobFilter, name: str, sources: frozenset[State], verb: Verb, request: Request, detail: dict[str, Any]
) -> Done:
    jobs = _chosen(which, name, sources, request)
    done = Done(name, dict(jobs.values_list("state").annotate(count=Count("pk")).order_by("state")))
    if request.dry_run or not done.found:
        return done
    try:
        for ids in _chunks(jobs, request.most):
            with transaction.atomic(using=jobs_alias()):
                done.moved += len(verb(ids))
    finally:
        # Also when a chunk failed: those before it are moved.
        detail = {"filter": which.described(), "found": done.found, "moved": done.moved, **detail}
        control.audit(f"bulk_{name}", ("jobs", which.queue or which.task or ""), detail=detail, **request.who)
    return done


def _chosen(which: JobFilter, name: str, sources: frozenset[State], request: Request) -> QuerySet[Job]:
    if which.is_empty and not request.everything:
        raise InvalidFilter(
            f"This would {name} every job. Say which jobs are meant (state, queue, task, …), or that all of them are."
        )
    if wrong := set(which.states) - sources:
        raise InvalidFilter(
            f"{_named(wrong)} jobs can't be moved by {name!r}: it takes {_named(sources)}. Leave the others out."
        )
    jobs = (which if which.states else replace(which, states=sources)).jobs()
    return jobs.filter(created_at__lte=control.clock())


def _chunks(jobs: QuerySet[Job], most: int | None) -> Iterator[list[UUID]]:
    """The ids in order; each chunk begins where the last one ended, so what did not move is not met again."""
    ids = jobs.order_by("pk").values_list("pk", flat=True)
    left, last = most, None
    while left is None or left > 0:
        size = CHUNK if left is None else min(CHUNK, left)
        chunk = list((ids if last is None else ids.filter(pk__gt=last))[:size])
        if not chunk:
            return
        yield chunk
        last = chunk[-1]
        left = None if left is None else left - len(chunk)


def _named(states: Collection[str]) -> str:
    return ", ".join(sorted(states))
