"""What a schedule would do, before it is saved: in words, its next runs, and where they meet a change of the clock."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule

from jobs.admin import shown

from .. import forecast
from ..errors import InvalidSchedule
from ..recurrence import Cron, Every, Once, Recurrence, Solar, occurrences
from ..times import FIELDS, SECONDS, recurrence, times_of
from ..verbs import preview

COUNT = 10
AHEAD = 400
"""Days that are searched for the next change of the clock."""
MET = {
    None: "",
    "gap": "the clock skips ahead: what was due in between runs now, once",
    "overlap": "the clock shows this time twice: it runs the first time only",
}


@dataclass(frozen=True, slots=True)
class Due:
    local: str
    utc: str
    when: str
    met: str = ""
    """What change of the clock it meets."""


@dataclass(frozen=True, slots=True)
class Preview:
    words: str
    zone: str
    dues: list[Due]
    warning: str = ""
    is_valid: bool = True

    @property
    def is_utc(self) -> bool:
        return self.zone == "UTC"


def preview_of(task: PeriodicTask) -> Preview:
    """Of a periodic task, saved or not; one that can't be says why."""
    now = timezone.now()
    try:
        times = recurrence(times_of(task, now))
        dues = preview(task, COUNT)
    except InvalidSchedule as error:
        return Preview(str(error), "", [], is_valid=False)
    zone = forecast.zone_of(times)
    found = [
        Due(stamp(due, zone), stamp(due, UTC), shown.ago(due), MET[forecast.met(times, zone, due)]) for due in dues
    ]
    once = " Only once." if task.one_off and not isinstance(times, Once) else ""
    return Preview(f"{times.describe()}.{once}", str(zone), found, _warning(times, zone, dues, now))


def unsaved(times: Recurrence) -> dict[str, Any]:
    """Rows that say so, unsaved: to look at, until `times.store` finds or makes them."""
    rows: dict[str, Any] = {"interval": None, "crontab": None, "solar": None, "clocked": None}
    match times:
        case Every():
            period = next(name for name, seconds in SECONDS.items() if times.seconds % seconds == 0)
            return rows | {"interval": IntervalSchedule(every=times.seconds // SECONDS[period], period=period)}
        case Once():
            return rows | {"clocked": ClockedSchedule(clocked_time=times.at)}
        case Solar():
            place = {"latitude": times.latitude, "longitude": times.longitude}
            return rows | {"solar": SolarSchedule(event=times.event, **place)}
        case Cron():
            fields = {name: getattr(times, name) for name in FIELDS}
            return rows | {"crontab": CrontabSchedule(**fields, timezone=times.zone)}
    raise InvalidSchedule(f"There are no rows for {times!r}.")


def stamp(at: datetime, zone: tzinfo) -> str:
    return f"{at.astimezone(zone):%a %Y-%m-%d %H:%M:%S %Z}"


def _warning(times: Recurrence, zone: ZoneInfo, dues: list[datetime], now: datetime) -> str:
    """The next change of the clock that it meets, if that is not among the runs that are shown."""
    if not isinstance(times, Cron) or not dues:
        return ""
    for day in _changes(zone, max(now, dues[-1])):
        for due in occurrences(times, after=day, until=day + timedelta(days=1), limit=1500):
            if met := forecast.met(times, zone, due):
                return f"{stamp(due, zone)}: {MET[met]}."
    return ""


def _changes(zone: ZoneInfo, start: datetime) -> list[datetime]:
    """Beginnings of 24 hours in which the clock is put forward or back."""
    days = [start + timedelta(days=number) for number in range(AHEAD)]
    offsets = [day.astimezone(zone).utcoffset() for day in days]
    return [day for day, here, after in zip(days, offsets, offsets[1:], strict=False) if here != after]
