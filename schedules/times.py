"""A periodic task's rows as a recurrence."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)

from jobs.engine.link import jobs_alias

from .errors import InvalidSchedule
from .recurrence import Cron, Every, Once, Recurrence, Solar

EPOCH = ORIGIN = datetime(1970, 1, 1, tzinfo=UTC)
SECONDS = {"days": 86_400, "hours": 3600, "minutes": 60, "seconds": 1}


FIELDS = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
"""Of a crontab."""


class Times(NamedTuple):
    """What of django-celery-beat's rows says when; one of every, minute, event, at is given."""

    every: int | None = None
    period: str | None = None
    minute: str | None = None
    hour: str | None = None
    day_of_week: str | None = None
    day_of_month: str | None = None
    month_of_year: str | None = None
    zone: str | None = None
    event: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    at: datetime | None = None
    anchor: datetime = EPOCH
    """Intervals are counted from here."""


def times_of(task: PeriodicTask, anchor: datetime) -> Times:
    """Of a periodic task, saved or not."""
    times = Times(anchor=interval_anchor(task.start_time, anchor))
    if task.interval:
        times = times._replace(every=task.interval.every, period=task.interval.period)
    if task.crontab:
        fields = {name: getattr(task.crontab, name) for name in FIELDS}
        times = times._replace(**fields, zone=str(task.crontab.timezone))
    if task.solar:
        times = times._replace(
            event=task.solar.event, latitude=float(task.solar.latitude), longitude=float(task.solar.longitude)
        )
    if task.clocked:
        times = times._replace(at=task.clocked.clocked_time)
    return times


def interval_anchor(start: datetime | None, anchor: datetime) -> datetime:
    """An interval with a start is counted from that."""
    return anchor if start is None else start


@lru_cache(maxsize=20_000)
def recurrence(times: Times) -> Recurrence:
    """Checked once for all looks at a schedule. Raises InvalidSchedule."""
    given = [kind for kind in (times.every, times.minute, times.event, times.at) if kind is not None]
    if len(given) != 1:
        raise InvalidSchedule(
            f"The schedule has {len(given)} of interval, crontab, solar event and clocked time; expected one of them."
        )
    if times.every is not None:
        seconds = _seconds(times.every, times.period)
        # At its start itself it is due.
        return Every(seconds, times.anchor - timedelta(seconds=seconds))
    if times.event is not None:
        return Solar(times.event, times.latitude or 0.0, times.longitude or 0.0)
    if times.at is not None:
        return Once(times.at)
    minute, hour, day_of_week, day_of_month, month_of_year = (getattr(times, name) or "*" for name in FIELDS)
    return Cron(minute, hour, day_of_week, day_of_month, month_of_year, _zone(times.zone))


def store(recurrence: Recurrence) -> dict[str, Any]:
    """The columns of a periodic task that say so much; a row of the same times is shared, as in beat's admin."""
    columns: dict[str, Any] = {"interval": None, "crontab": None, "solar": None, "clocked": None, "one_off": False}
    match recurrence:
        case Every():
            period = next(name for name, seconds in SECONDS.items() if recurrence.seconds % seconds == 0)
            every = recurrence.seconds // SECONDS[period]
            return columns | {"interval": _row(IntervalSchedule, every=every, period=period)}
        case Once():
            return columns | {"clocked": _row(ClockedSchedule, clocked_time=recurrence.at), "one_off": True}
        case Solar():
            place = {"latitude": recurrence.latitude, "longitude": recurrence.longitude}
            return columns | {"solar": _row(SolarSchedule, event=recurrence.event, **place)}
        case Cron():
            fields = {name: getattr(recurrence, name) for name in FIELDS}
            return columns | {"crontab": _row(CrontabSchedule, **fields, timezone=recurrence.zone)}
    raise TypeError(f"no rows for {recurrence!r}")


def _row(model: Any, **columns: Any) -> Any:
    known = model.objects.using(jobs_alias()).filter(**columns).order_by("pk").first()
    return known or model.objects.using(jobs_alias()).create(**columns)


def _seconds(every: int, period: str | None) -> int:
    if period == "microseconds":
        seconds, rest = divmod(every, 1_000_000)
        if rest or not seconds:
            raise InvalidSchedule(f"Invalid interval of {every} microseconds. Expected whole seconds, from 1 on.")
        return seconds
    return every * SECONDS[period or ""]


def _zone(name: str | None) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (KeyError, ValueError, OSError) as error:
        raise InvalidSchedule(
            f"Unknown timezone {name!r}. Expected a name such as 'Europe/Berlin' or 'UTC'."
        ) from error
