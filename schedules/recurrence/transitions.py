"""Where a due time meets a change of its zone's clock; for whoever shows it."""

from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from . import walls
from .cron import Cron


def transition_at(zone: ZoneInfo, moment: datetime, *, cron: Cron | None = None) -> Literal["gap", "overlap"] | None:
    """How the clock of a zone changes around a due time.

    "gap": the clock skips ahead to it, and what was due between runs now; "overlap": the clock shows this time twice.
    With `cron`, a gap is one only if the cron names a time in it: what is due at its end anyway meets nothing.
    """
    local = moment.astimezone(zone)
    if local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset():
        return "overlap"
    skipped = walls.shown(zone, moment.astimezone(UTC) - datetime.resolution) + datetime.resolution
    end = local.replace(tzinfo=None)
    wall = skipped if cron is None else cron.wall_from(skipped)
    return "gap" if wall is not None and wall < end else None
