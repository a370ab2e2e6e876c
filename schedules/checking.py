"""A schedule that can't be is refused where it is saved, before a beat finds it."""

from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models.signals import pre_save
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule

from .errors import InvalidSchedule
from .times import recurrence, times_of


def check(row: Any) -> None:
    """A periodic task, or a crontab, interval, solar event or clocked time: for `clean` of forms.

    Raises ValidationError for what would never be due.
    """
    task = row if isinstance(row, PeriodicTask) else PeriodicTask(**{FIELDS[type(row)]: row})
    try:
        recurrence(times_of(task, datetime.now(UTC)))
    except InvalidSchedule as error:
        raise ValidationError(str(error), code="invalid_schedule") from error


def connect() -> None:
    """Every door of the ORM: as beat's own `save`, it raises ValidationError. Fixtures are loaded as they are."""
    for model in (PeriodicTask, *FIELDS):
        pre_save.connect(_refuse, sender=model, dispatch_uid=f"schedules.checking.{model.__name__}")


def _refuse(*, instance: Any, raw: bool = False, update_fields: Any = None, **_: Any) -> None:
    if not raw and (update_fields is None or set(update_fields) & TIMED):
        check(instance)


FIELDS = {
    IntervalSchedule: "interval",
    CrontabSchedule: "crontab",
    SolarSchedule: "solar",
    ClockedSchedule: "clocked",
}
TIMED = {
    *FIELDS.values(),
    *(field.name for model in FIELDS for field in model._meta.fields),
    "start_time",
    "expires",
}
