"""Operator verbs: each takes the actor, checks by its statement's guard, and writes its audit entry with the change."""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connections, transaction

from ..conf import jobs_settings
from ..states import CANCEL, REQUEUE
from .link import Link, jobs_alias
from .sql import statement
from .wake import wake_after_commit


def requeue(ids: Sequence[UUID], *, actor: str, reason: str = "", ip: str | None = None) -> list[UUID]:
    """Run finished jobs again, as a new epoch of the same id, in the caller's transaction.

    Returns the ids that moved; a missing one is live, has completed, or is gone.
    """
    moved = _moved(
        "requeue",
        ids=list(ids),
        sources=sorted(REQUEUE.sources),
        actor=actor,
        reason=reason,
        ip=ip,
        aging_us=jobs_settings().aging * 1_000_000,
    )
    wake_after_commit(jobs_alias())
    return moved


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
    with transaction.atomic(using=jobs_alias()):
        for (token,) in _rows("unwon_of", ids=list(ids)):
            _rows("lose", token=token, won=False, begun=None, strike=False, reason="", poison_after=1, poison_error="")
        now = _moved("cancel", ids=list(ids), sources=sorted(CANCEL.sources), actor=actor, reason=reason, ip=ip)
        asked = _moved("request_cancel", ids=list(ids), actor=actor, reason=reason, ip=ip) if running else []
    wake_after_commit(jobs_alias())
    return Cancelled(now, asked)


def refuse_message(link: Link, *, worker: str, task: str, detail: str) -> None:
    """Record a broker message that is no carrier of ours: somebody writes to the broker who should not."""
    link.rows(
        "audit",
        actor=worker,
        action="refuse_message",
        resource_type="message",
        resource_id=task[:200],
        detail=detail,
        ip=None,
    )


def client_address(text: str | None) -> str | None:
    """An IP address as the audit keeps it; None for a server behind a Unix socket, which knows none."""
    try:
        return str(ip_address((text or "").partition("%")[0]))  # PostgreSQL knows no zones
    except ValueError:
        return None


def _moved(name: str, **params: Any) -> list[UUID]:
    return [row[0] for row in _rows(name, **params)]


def _rows(name: str, **params: Any) -> list[tuple]:
    if "ip" in params:
        params["ip"] = client_address(params["ip"])
    with connections[jobs_alias()].cursor() as cursor:
        cursor.execute(statement(name), params)
        return cursor.fetchall()
