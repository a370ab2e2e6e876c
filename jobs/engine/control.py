"""Operator verbs: each checks by its statement's guard and writes its audit entry with the change.

All take who asks; InvalidActor for nobody.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connections
from kombu.utils.json import dumps

from ..conf import jobs_settings
from ..errors import InvalidJob
from ..states import FINAL, POSTPONE, POSTPONE_RETRY, REQUEUE, WAITING, State, Transition
from .abandoned import abandon
from .ending import end
from .finish import clean
from .link import CallersLink, Link, jobs_alias
from .newjob import EARLIEST, LATEST, priority_number
from .operators import who
from .reviving import revive
from .sql import statement
from .wake import wake_after_commit

POSTPONABLE = POSTPONE.sources | POSTPONE_RETRY.sources
AUDITED = 10_000
"""Characters of replaced arguments that an audit entry keeps."""


def requeue(
    ids: Sequence[UUID],
    *,
    actor: str,
    reason: str = "",
    ip: str | None = None,
    delays: Sequence[float] | None = None,
    args: str | None = None,
    kwargs: str | None = None,
) -> list[UUID]:
    """Run finished jobs again, as a new epoch of the same id, in the caller's transaction.

    `delays`: seconds after which each may start. `args`, `kwargs`: JSON from `encode` in place of the old arguments;
    `jobs.submit.resubmit` checks them first. Returns the ids that moved; a missing one is live, has completed, is gone,
    or another job holds its unique key now: `jobs.explain.why_it_stays` tells.
    """
    moved = revive(
        CallersLink(jobs_alias()),
        [(id_, 0.0) for id_ in ids]
        if delays is None
        else [(id_, max(0.0, delay)) for id_, delay in zip(ids, delays, strict=True)],
        args=args,
        kwargs=kwargs,
        kept=AUDITED,
        sources=sorted(REQUEUE.sources),
        aging_us=_default_aging(),
        **who(actor, reason, ip),
    )
    wake_after_commit(jobs_alias())
    return moved


def set_priority(
    ids: Sequence[UUID], priority: int | str, *, actor: str, reason: str = "", ip: str | None = None
) -> dict[UUID, int]:
    """Give waiting jobs a priority (−100…100, or its name) and the place in the order that follows from it.

    Returns the new priority by id. A missing id is with a worker already, where it changes nothing, or is over.
    Raises InvalidJob.
    """
    return _prioritised(
        "set_priority", ids, priority=priority_number(priority), points=None, actor=actor, reason=reason, ip=ip
    )


def boost(ids: Sequence[UUID], points: int, *, actor: str, reason: str = "", ip: str | None = None) -> dict[UUID, int]:
    """Raise (or, below 0, lower) the priority of waiting jobs, to 100 at most; returns as `set_priority` does."""
    if not isinstance(points, int) or isinstance(points, bool) or not -200 <= points <= 200:
        raise InvalidJob(f"A boost of {points!r} points is not known; expected a whole number from -200 to 200.")
    return _prioritised("boost", ids, priority=None, points=points, actor=actor, reason=reason, ip=ip)


def postpone(
    ids: Sequence[UUID], run_at: datetime, *, actor: str, reason: str = "", ip: str | None = None
) -> dict[UUID, datetime]:
    """Let waiting jobs start at another time (aware), later or sooner; a time that is past is now.

    Returns the new times by id. A missing id waits for other jobs, is with a worker already, would have expired by
    then, or is over. Raises InvalidJob.
    """
    if run_at.tzinfo is None or not EARLIEST <= run_at <= LATEST:
        raise InvalidJob(f"A start at {run_at!r} is not known; expected an aware datetime from 1970 to 9999-12-30.")
    return dict(
        _rows(
            "postpone",
            ids=list(ids),
            run_at=run_at,
            sources=sorted(POSTPONABLE),
            actor=actor,
            reason=reason,
            ip=ip,
        )
    )


def reclassify(
    ids: Sequence[UUID], move: Transition, *, actor: str, reason: str = "", ip: str | None = None
) -> list[UUID]:
    """Call the end of jobs by another word: ESCALATE (failed → dead letter) or DISMISS. Returns the ids that moved."""
    return _moved(
        "reclassify",
        ids=list(ids),
        sources=sorted(move.sources),
        target=move.target,
        action=move.name,
        actor=actor,
        reason=reason,
        ip=ip,
    )


def purge(ids: Sequence[UUID], *, states: Collection[State] = FINAL) -> list[tuple[UUID, State]]:
    """Delete finished jobs with their attempts; returns what went. `bulk.purge` writes the audit entry.

    One that another job waits for, that holds a unique key, or that somebody has locked stays.
    """
    return [(id_, State(state)) for id_, state in _rows("purge", ids=list(ids), sources=sorted(states))]


class Cancelled(NamedTuple):
    """Ids that are cancelled now, and ids whose worker was asked to stop them; a missing one is over."""

    now: list[UUID]
    asked: list[UUID]


def cancel(
    ids: Sequence[UUID], *, actor: str, reason: str = "", ip: str | None = None, running: bool = True
) -> Cancelled:
    """End jobs that no worker has started, and ask for the end of those that run, in one transaction.

    A lease in the broker that holds one of them is taken back as a whole: its other jobs are pending again.
    `running=False` leaves jobs alone that a worker has.
    """
    link, entry = CallersLink(jobs_alias()), who(actor, reason, ip)
    with link.transaction():
        ended = end(link, ids, **entry, running=running)
        abandon(link.rows, [*ended.now, *ended.others])
    wake_after_commit(jobs_alias())
    return Cancelled(ended.now, ended.asked)


def refuse_message(link: Link, *, worker: str, task: str, detail: str) -> None:
    """Record a broker message that is no carrier of ours: somebody writes to the broker who should not."""
    link.rows(
        "audit",
        actor=worker,
        action="refuse_message",
        resource_type="message",
        resource_id=clean(task[:200], 200),
        detail=detail,
        ip=None,
    )


def audit(
    action: str,
    resource: tuple[str, str],
    *,
    actor: str,
    reason: str = "",
    ip: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """One entry for a request as a whole. `resource` is a type and an id."""
    entry = who(actor, reason, ip)
    with connections[jobs_alias()].cursor() as cursor:
        cursor.execute(
            statement("audit"),
            {
                "actor": entry["actor"],
                "action": action,
                "resource_type": resource[0],
                "resource_id": resource[1],
                "detail": dumps({"reason": entry["reason"], **(detail or {})}),
                "ip": entry["ip"],
            },
        )


def clock() -> datetime:
    """The database's time."""
    return _rows("clock")[0][0]


def _prioritised(action: str, ids: Sequence[UUID], **params: Any) -> dict[UUID, int]:
    found = _rows(
        "set_priority",
        ids=list(ids),
        sources=sorted(WAITING),
        action=action,
        aging_us=_default_aging(),
        **params,
    )
    wake_after_commit(jobs_alias())
    return dict(found)


def _default_aging() -> int:
    return jobs_settings().aging * 1_000_000


def _moved(name: str, **params: Any) -> list[UUID]:
    return [row[0] for row in _rows(name, **params)]


def _rows(name: str, **params: Any) -> list[tuple]:
    if "actor" in params:
        params |= who(params["actor"], params["reason"], params["ip"])
    with connections[jobs_alias()].cursor() as cursor:
        cursor.execute(statement(name), params)
        return cursor.fetchall()
