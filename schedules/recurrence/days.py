"""Which days a cron names: its months are walked, and only the days that it lists are looked at."""

from bisect import bisect_left
from calendar import isleap
from collections.abc import Collection, Sequence
from datetime import MAXYEAR, date

LONGEST = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""Days of each month, of February in a leap year."""


def first_day(start: date, *, months: Collection[int], days: Sequence[int], weekdays: Collection[int]) -> date | None:
    """The first day from `start` on that is in all three (weekdays: 0 is Sunday); None: not before the year 10000."""
    year, month, least = start.year, start.month, start.day
    while year <= MAXYEAR:
        if month in months:
            last = 28 if month == 2 and not isleap(year) else LONGEST[month]
            for number in days[bisect_left(days, least) :]:
                if number > last:
                    break
                day = date(year, month, number)
                if day.isoweekday() % 7 in weekdays:
                    return day
        least = 1
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    return None
