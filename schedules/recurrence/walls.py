"""Wall clocks and instants: a time on the wall is due when the clock of the zone first shows it or a later one.

Said so, a gap and an overlap need no rule of their own: in a gap the clock first shows a later time at its end, and
what is shown a second time has been shown. Walls are naive datetimes, instants aware UTC.
"""

from bisect import bisect_left
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)


def unseen(zone: ZoneInfo, moment: datetime) -> datetime:
    """The first whole minute that the zone's wall clock has not shown up to and including `moment`."""
    seen = latest(zone, moment)
    return seen.replace(second=0, microsecond=0) + MINUTE


def latest(zone: ZoneInfo, moment: datetime) -> datetime:
    """The latest time that the zone's wall clock has shown up to `moment`."""
    if moment.tzinfo is None:
        raise TypeError(f"{moment.isoformat()} has no timezone; the machine's own would be taken. Give it one.")
    local = moment.astimezone(zone)
    if not local.fold:
        return local.replace(tzinfo=None)
    # Shown a second time: before the clock was set back, it had shown all up to that instant.
    repeated = _offset(local, 0) - _offset(local, 1)
    moment = moment.astimezone(UTC).replace(microsecond=0)
    turn = _first(moment - repeated, moment, lambda instant: bool(instant.astimezone(zone).fold))
    return (turn + _offset(local, 0)).replace(tzinfo=None) - datetime.resolution


def instant_of(zone: ZoneInfo, wall: datetime) -> datetime:
    """When the zone's wall clock first shows `wall`, or a later time if it never shows that one."""
    due = wall.replace(tzinfo=zone).astimezone(UTC)
    if shown(zone, due) == wall:
        return due
    skipped = _offset(wall.replace(tzinfo=zone), 1) - _offset(wall.replace(tzinfo=zone), 0)
    return _first(due - skipped, due, lambda instant: shown(zone, instant) >= wall)


def shown(zone: ZoneInfo, instant: datetime) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None)


def _offset(local: datetime, fold: int) -> timedelta:
    return local.replace(fold=fold).utcoffset() or timedelta(0)


def _first(low: datetime, high: datetime, holds: Callable[[datetime], bool]) -> datetime:
    """The first whole second from `low` to `high` at which something holds that, once it holds, goes on to."""
    seconds = range(int((high - low).total_seconds()))
    return low + timedelta(seconds=bisect_left(seconds, True, key=lambda n: holds(low + timedelta(seconds=n))))
