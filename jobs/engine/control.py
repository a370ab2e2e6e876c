"""Operator verbs: each takes the actor, checks by its statement's guard, and writes its audit entry with the change."""

from collections.abc import Sequence
from typing import Any
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


def cancel(ids: Sequence[UUID], *, actor: str, reason: str = "", ip: str | None = None) -> list[UUID]:
    """End jobs that no worker has started, in one transaction. Returns their ids; a missing one runs or is over.

    A lease in the broker that holds one of them is taken back as a whole: its other jobs are pending again.
    """
    with transaction.atomic(using=jobs_alias()):
        for (token,) in _rows("unwon_of", ids=list(ids)):
            _rows("lose", token=token, won=False, begun=None, reason="", poison_after=1, poison_error="")
        moved = _moved("cancel", ids=list(ids), sources=sorted(CANCEL.sources), actor=actor, reason=reason, ip=ip)
    wake_after_commit(jobs_alias())
    return moved


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


def _moved(name: str, **params: Any) -> list[UUID]:
    return [row[0] for row in _rows(name, **params)]


def _rows(name: str, **params: Any) -> list[tuple]:
    with connections[jobs_alias()].cursor() as cursor:
        cursor.execute(statement(name), params)
        return cursor.fetchall()
