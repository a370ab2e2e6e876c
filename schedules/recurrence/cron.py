"""Five cron fields in the wall clock of a zone."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from ..errors import InvalidSchedule
from . import walls
from .days import LONGEST, first_day
from .fields import FIELDS, expand
from .words import describe

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Cron:
    """Due at every wall-clock minute of the zone that is in all five fields, once each.

    The fields are read as Celery's crontab reads them, with 7 for Sunday too. As there, and unlike cron(8), a day must
    be in `day_of_month` and in `day_of_week`: "13" and "fri" is Friday the 13th. What a gap of the clock skips is due
    once, at its end; what the clock shows twice is due the first time only, so that "*/5" rests for an hour where the
    clock is set back by one (`Every` does not). Raises InvalidSchedule.
    """

    minute: str
    hour: str
    day_of_week: str
    day_of_month: str
    month_of_year: str
    zone: ZoneInfo
    _numbers: tuple[tuple[int, ...], ...] = field(init=False, repr=False, compare=False)
    """What the fields mean, in a crontab's order."""

    def __post_init__(self) -> None:
        numbers = tuple(expand(each, getattr(self, each.name)) for each in FIELDS)
        object.__setattr__(self, "_numbers", numbers)
        self._refuse_never()

    def after(self, moment: datetime) -> datetime | None:
        """First due time strictly after `moment`, aware UTC; None: never again, in the years that Python knows."""
        try:
            wall = self.wall_from(walls.unseen(self.zone, moment))
            return None if wall is None else walls.instant_of(self.zone, wall)
        except OverflowError:
            return None

    def describe(self) -> str:
        return f"{describe(self._numbers)} ({self.zone})"

    def wall_from(self, start: datetime) -> datetime | None:
        """The first matching minute of the wall clock at `start` or later, naive as that is."""
        day = self._day_from(start)
        if day is not None and day.date() == start.date():
            at = self._time_from(start)
            if at is not None:
                return datetime.combine(day, at)
            day = self._day_from(start + DAY)
        minutes, hours, *_ = self._numbers
        return None if day is None else day.replace(hour=hours[0], minute=minutes[0])

    def _day_from(self, start: datetime) -> datetime | None:
        _, _, days, months, weekdays = self._numbers
        day = first_day(start.date(), months=months, days=days, weekdays=weekdays)
        return None if day is None else datetime.combine(day, time())

    def _time_from(self, start: datetime) -> time | None:
        minutes, hours, *_ = self._numbers
        if start.hour in hours and start.minute <= minutes[-1]:
            return time(start.hour, minutes[bisect_left(minutes, start.minute)])
        later = bisect_right(hours, start.hour)
        return time(hours[later], minutes[0]) if later < len(hours) else None

    def _refuse_never(self) -> None:
        # Every day of a month falls on every weekday in 40 years at most, the 29th of February too.
        _, _, days, months, _ = self._numbers
        last = max(LONGEST[month] for month in months)
        if days[0] > last:
            raise InvalidSchedule(
                f"Never due: day_of_month {self.day_of_month[:80]!r} does not occur in month_of_year "
                f"{self.month_of_year[:80]!r}, whose days end at {last}. Give a day up to {last}, or another month."
            )
