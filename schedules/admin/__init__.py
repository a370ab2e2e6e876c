"""The admin of schedules: it parses, calls one verb or query, and renders. It stands in the place of beat's own."""

from django.contrib import admin
from django_celery_beat import admin as beats
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule

# Importing beat's admin has registered it, and Django imports it after this one.
admin.site.unregister((PeriodicTask, ClockedSchedule, CrontabSchedule, IntervalSchedule, SolarSchedule))

from . import schedules, times  # noqa: E402  each registers its models

__all__ = ["beats", "schedules", "times"]
