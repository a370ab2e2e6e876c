"""Operator verbs over schedules: each writes its audit entry with the change, in one transaction.

All take who asks; InvalidActor for nobody. Ids are those of periodic tasks; one that is gone is not among the answers.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django_celery_beat.models import PeriodicTask


class Ran(NamedTuple):
    """A run that was asked for: its job, or why there is none."""

    schedule: int
    job_id: UUID | None
    refused: str = ""


class Backfilled(NamedTuple):
    """Past due times of a range: all of them, those that have a run already, and the runs that were made now."""

    due: list[datetime]
    existing: list[datetime]
    made: list[UUID]
    more: bool
    """Whether the range holds more due times than the cap."""


def run_now(ids: Sequence[int], *, actor: str, reason: str = "", ip: str | None = None) -> list[Ran]:
    """Run schedules once, now, also those that are paused or disabled, whatever their overlap policy says."""
    raise NotImplementedError


def pause(
    ids: Sequence[int], *, actor: str, reason: str = "", ip: str | None = None, until: datetime | None = None
) -> list[int]:
    """Let schedules fire no more, until somebody resumes them or until `until` (aware). Raises InvalidPause.

    One that is paused already gets the new reason and end. Returns the ids that are paused now.
    """
    raise NotImplementedError


def resume(ids: Sequence[int], *, actor: str, reason: str = "", ip: str | None = None) -> list[int]:
    """Let paused schedules fire again; what was due meanwhile is treated by their misfire policy. Returns the ids."""
    raise NotImplementedError


def set_enabled(ids: Sequence[int], enabled: bool, *, actor: str, reason: str = "", ip: str | None = None) -> list[int]:
    """Switch schedules on or off. Returns the ids that changed."""
    raise NotImplementedError


def delete(ids: Sequence[int], *, actor: str, reason: str = "", ip: str | None = None) -> list[int]:
    """Delete schedules with their history; their jobs stay. Returns the ids that are gone now."""
    raise NotImplementedError


def backfill(
    id_: int,
    *,
    start: datetime,
    end: datetime,
    actor: str,
    reason: str = "",
    ip: str | None = None,
    dry_run: bool = False,
    cap: int = 100,
    spread: float = 0.0,
) -> Backfilled:
    """Run the due times from `start` up to `end` (aware, past) that have no run yet, the earliest `cap` of them.

    The runs start over `spread` seconds. Raises InvalidSchedule.
    """
    raise NotImplementedError


def preview(what: PeriodicTask | str, count: int = 10, *, zone: str = "UTC") -> list[datetime]:
    """The next due times (UTC) of a periodic task, saved or not, or of a text such as `0 8 * * mon`.

    Fewer where start, end or a one-off leave fewer. Raises InvalidSchedule.
    """
    raise NotImplementedError
