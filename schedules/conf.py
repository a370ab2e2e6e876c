"""The settings of schedules: Django settings, read when they are needed."""

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


def occurrence_days() -> int:
    """SCHEDULES_OCCURRENCE_DAYS: days that the history of due times is kept; 0 keeps it for ever."""
    days = getattr(settings, "SCHEDULES_OCCURRENCE_DAYS", 90)
    if not isinstance(days, int) or isinstance(days, bool) or not 0 <= days <= 36_500:
        raise ImproperlyConfigured(f"SCHEDULES_OCCURRENCE_DAYS is {days!r}; expected a whole number from 0 to 36500.")
    return days


def default_task() -> str | None:
    """SCHEDULE_DEFAULT_TASK: the task of schedules that `/api/admin/scheduled-jobs` is given without one."""
    name = getattr(settings, "SCHEDULE_DEFAULT_TASK", None) or None
    if name is not None and not isinstance(name, str):
        raise ImproperlyConfigured(f"SCHEDULE_DEFAULT_TASK is {name!r:.80}; expected the name of a task.")
    return name
