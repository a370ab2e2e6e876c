"""Schedules for tests, and beats driven by hand."""

from datetime import datetime, timedelta
from typing import Any

from celery import current_app
from django.db import connection
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask

from schedules.models import Occurrence, Schedule
from schedules.scheduler import JobScheduler

NOOP = "tests.support.tasks.noop"


def clock() -> datetime:
    """The database's time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]


def make_schedule(
    name: str = "minutely",
    *,
    every: int | None = 60,
    cron: str | None = None,
    at: datetime | None = None,
    policy: dict[str, Any] | None = None,
    **columns: Any,
) -> PeriodicTask:
    """A periodic task, by default of every minute; `policy` are columns of its companion."""
    times: dict[str, Any] = {}
    if at is not None:
        times = {"clocked": ClockedSchedule.objects.create(clocked_time=at), "one_off": True}
    elif cron is not None:
        minute, hour, day, month, week_day = cron.split()
        fields = {"minute": minute, "hour": hour, "day_of_month": day, "month_of_year": month, "day_of_week": week_day}
        times = {"crontab": CrontabSchedule.objects.create(**fields)}
    elif every is not None:
        times = {"interval": IntervalSchedule.objects.get_or_create(every=every, period="seconds")[0]}
    task = PeriodicTask.objects.create(**{"name": name, "task": NOOP, **times, **columns})
    if policy:
        companion(task, **policy)
    return task


def companion(task: PeriodicTask, **columns: Any) -> Schedule:
    """The companion as it is in the database, after a change of these columns."""
    if columns:
        Schedule.objects.filter(pk=task.pk).update(**columns)
    return Schedule.objects.get(pk=task.pk)


def make_due(task: PeriodicTask, *, ago: float = 0.0) -> datetime:
    """Let its next run be so many seconds ago; returns that time."""
    due = clock() - timedelta(seconds=ago)
    # An interval goes on from its due time, as if it had been counted from there.
    companion(task, next_run_at=due, anchor_at=due, edited_at=due - timedelta(seconds=1))
    return due


def beat(**options: Any) -> JobScheduler:
    return JobScheduler(app=current_app._get_current_object(), **options)


def tick(scheduler: JobScheduler | None = None) -> None:
    """Until nothing is due."""
    scheduler = scheduler or beat()
    for _ in range(50):
        if scheduler.tick() > 0:
            return
    raise AssertionError("still due after 50 ticks")


def history(task: PeriodicTask) -> list[Occurrence]:
    """Its occurrences in their order."""
    return list(Occurrence.objects.filter(schedule_id=task.pk).order_by("due_at", "id"))


def states(task: PeriodicTask) -> list[str]:
    return [one.state for one in history(task)]
