"""What a schedule would do: in words, its next runs, and where they meet a change of the clock."""

from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from celery import current_app
from django_celery_beat.models import PeriodicTask

from jobs.engine.control import clock

from . import verbs
from .errors import InvalidSchedule
from .policy import Rules, first_due
from .recurrence import Cron, Once, Recurrence, transition_at
from .texts import read
from .times import recurrence, times_of


class Due(NamedTuple):
    at: datetime
    """In the zone."""
    dst: str | None
    """"gap": the clock skips ahead to it; "overlap": the clock shows this time twice."""


class Forecast(NamedTuple):
    words: str
    zone: ZoneInfo
    """Of the cron; what has none is told in Celery's `timezone`."""
    dues: list[Due]


def of_text(
    text: str,
    *,
    zone: str | None = None,
    count: int = 10,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
) -> Forecast:
    """Of what somebody would write. Raises InvalidSchedule."""
    now, found = clock(), zone_named(zone)
    times = read(text, zone=found, now=now)
    rules, dues = Rules(starts_at=starts_at, ends_at=ends_at), list[datetime]()
    due = first_due(times, rules, now)
    while due is not None and len(dues) < count:
        dues.append(due)
        due = first_due(times, rules, due)
    return _forecast(times, found, dues)


def of_task(task: PeriodicTask, *, count: int = 10) -> Forecast:
    """Of a schedule with its companion. Raises InvalidSchedule."""
    times = recurrence(times_of(task, task.companion.anchor_at))
    return _forecast(times, zone_of(times), verbs.preview(task, count))


def zone_of(times: Recurrence) -> ZoneInfo:
    """The zone in which it is shown: a cron's own, else Celery's `timezone`."""
    return times.zone if isinstance(times, Cron) else zone_named(None)


def zone_named(name: str | None) -> ZoneInfo:
    """None: Celery's `timezone`. Raises InvalidSchedule."""
    try:
        return ZoneInfo(str(current_app.timezone) if name is None else name)
    except (KeyError, ValueError, OSError) as error:
        raise InvalidSchedule(f"Unknown timezone {name!r:.80}. Expected a name such as 'Europe/Berlin'.") from error


def _forecast(times: Recurrence, zone: ZoneInfo, dues: list[datetime]) -> Forecast:
    return Forecast(times.describe(), zone, [Due(due.astimezone(zone), met(times, zone, due)) for due in dues])


def met(times: Recurrence, zone: ZoneInfo, due: datetime) -> str | None:
    """What change of the clock a due time meets; only wall-clock times meet one."""
    match times:
        case Cron():
            return transition_at(zone, due, cron=times)
        case Once():
            return transition_at(zone, due)
    return None
