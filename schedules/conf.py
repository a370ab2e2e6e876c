"""The settings of schedules: Django settings, read when they are needed."""

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


def occurrence_days() -> int:
    """SCHEDULES_OCCURRENCE_DAYS: days that the history of due times is kept; 0 keeps it for ever."""
    days = getattr(settings, "SCHEDULES_OCCURRENCE_DAYS", 90)
    if not isinstance(days, int) or isinstance(days, bool) or not 0 <= days <= 36_500:
        raise ImproperlyConfigured(f"SCHEDULES_OCCURRENCE_DAYS is {days!r}; expected a whole number from 0 to 36500.")
    return days
