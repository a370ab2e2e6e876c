"""Operator verbs: each takes the actor, checks by its statement's guard, and writes its audit entry with the change."""

from collections.abc import Sequence
from uuid import UUID

from django.db import connections

from ..conf import jobs_settings
from ..states import REQUEUE
from .link import Link, jobs_alias
from .sql import statement
from .wake import wake_after_commit


def requeue(ids: Sequence[UUID], *, actor: str, reason: str = "", ip: str | None = None) -> list[UUID]:
    """Run finished jobs again, as a new epoch of the same id, in the caller's transaction.

    Returns the ids that moved; a missing one had not failed or expired, or is gone.
    """
    alias = jobs_alias()
    with connections[alias].cursor() as cursor:
        cursor.execute(
            statement("requeue"),
            {
                "ids": list(ids),
                "sources": sorted(REQUEUE.sources),
                "actor": actor,
                "reason": reason,
                "ip": ip,
                "aging_us": jobs_settings().aging * 1_000_000,
            },
        )
        moved = [row[0] for row in cursor.fetchall()]
    wake_after_commit(alias)
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
