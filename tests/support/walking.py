"""Due times found by walking over every minute: slow, and with no rule for gaps and overlaps to get wrong."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

MINUTE = timedelta(minutes=1)
AROUND = timedelta(hours=26)
LOOK = timedelta(hours=6)


@dataclass
class Window:
    """The time around one change of a zone's clock; `names` are the zones whose clocks do the same in it."""

    zone: ZoneInfo
    start: datetime
    stop: datetime
    names: list[str]

    def __str__(self) -> str:
        return (
            f"{self.zone} and {len(self.names) - 1} others, {self.start:%Y-%m-%d %H:%M} to {self.stop:%Y-%m-%d %H:%M}"
        )


def windows(start: datetime, stop: datetime) -> list[Window]:
    """One around each change of any zone's clock between two moments, and one of each clock that does not change.

    Clocks that show the same through a whole window are one.
    """
    found: dict[tuple[object, ...], Window] = {}
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        for turn in list(turns(zone, start, stop)) or [start + AROUND]:
            sample = (turn - AROUND, turn - MINUTE, turn, turn + AROUND)
            key = (turn, *(moment.astimezone(zone).utcoffset() for moment in sample))
            found.setdefault(key, Window(zone, sample[0], sample[-1], [])).names.append(name)
    return list(found.values())


def turns(zone: ZoneInfo, start: datetime, stop: datetime) -> Iterator[datetime]:
    """The minutes at which the clock of a zone is put forward or back; two within six hours would be missed."""
    moment = start
    while moment < stop:
        after = moment + LOOK
        if moment.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset():
            old, turn = moment.astimezone(zone).utcoffset(), moment
            while turn.astimezone(zone).utcoffset() == old:
                turn += MINUTE
            yield turn
        moment = after


Steps = list[tuple[datetime, list[datetime]]]


def steps(zone: ZoneInfo, start: datetime, stop: datetime) -> Steps:
    """Every minute after `start`, with the wall-clock minutes that have come by it and had not before.

    None in the repetition of an hour, sixty-one at the end of a gap of one.
    """
    found: Steps = []
    latest, moment = start.astimezone(zone).replace(tzinfo=None), start
    while moment < stop:
        moment += MINUTE
        come = []
        while latest < moment.astimezone(zone).replace(tzinfo=None):
            latest += MINUTE
            come.append(latest)
        found.append((moment, come))
    return found


def due(walked: Steps, matches: Callable[[datetime], bool]) -> list[datetime]:
    return [moment for moment, come in walked if any(map(matches, come))]


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


def walls(zone: ZoneInfo, moments: Iterable[datetime]) -> list[str]:
    """What the zone's clock shows at these moments, as "2026-03-29 03:00+0200"."""
    return [f"{moment.astimezone(zone):%Y-%m-%d %H:%M%z}" for moment in moments]
