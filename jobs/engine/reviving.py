"""A new life for finished jobs: each holds its unique key again, or stays while another job holds that."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg import errors

from .link import Rows, cause_of
from .unique import PATIENCE

BUSY = (errors.UniqueViolation, errors.LockNotAvailable, errors.DeadlockDetected)
"""Somebody took a key a moment ago, or an open transaction stands in the way."""
BRIEF = 0.1
"""Seconds for each of several jobs, once they did not all move together."""


def revive(link: Rows, asked: Sequence[tuple[UUID, float]], *, patience: float = PATIENCE, **given: Any) -> list[UUID]:
    """Requeue jobs, each after so many seconds; `given` is the rest of `requeue`. Returns the ids that moved.

    Waits up to `patience` seconds for an open transaction that has one of them or is taking its key. Such a job stays,
    and so does the second of two that have the same key.
    """
    try:
        with link.transaction():
            return _revived(link, asked, patience, given)
    except Exception as error:
        if not isinstance(cause_of(error), BUSY):
            raise
    if len(asked) == 1:
        return []
    return [id_ for one in asked for id_ in revive(link, [one], patience=BRIEF, **given)]


def _revived(link: Rows, asked: Sequence[tuple[UUID, float]], patience: float, given: dict[str, Any]) -> list[UUID]:
    before = link.rows("patience", timeout=f"{patience * 1000:.0f}ms")[0][0]
    moved = _requeued(link, asked, given)
    done = set(moved)
    left = [pair for pair in asked if pair[0] not in done]
    # A hold that is over, and only a sweep has not come by yet, stands in nobody's way.
    if left and link.rows("release_stale", ids=[id_ for id_, _ in left], sources=given["sources"]):
        moved += _requeued(link, left, given)
    link.rows("patience", timeout=before)
    return moved


def _requeued(link: Rows, asked: Sequence[tuple[UUID, float]], given: dict[str, Any]) -> list[UUID]:
    ids, delays = [id_ for id_, _ in asked], [delay for _, delay in asked]
    return [row[0] for row in link.rows("requeue", ids=ids, delays=delays, **given)]
