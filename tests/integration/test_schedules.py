"""Celery beat over the admin's schedules: a due one inserts a job, and needs no broker."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from jobs.models import Job
from schedules.scheduler import JobScheduler
from tests.support.engine import unsent


@pytest.mark.django_db
def test_check_feeds_stands_every_five_minutes_off_and_ready_for_an_address() -> None:
    schedule = PeriodicTask.objects.get(name="check_feeds")
    assert (schedule.task, schedule.enabled) == ("feeds.check", False)
    assert str(schedule.interval) == "every 5 minutes"
    assert json.loads(schedule.kwargs) == {"url": ""}


@pytest.mark.django_db(transaction=True)
def test_a_due_schedule_becomes_a_job_while_the_broker_is_away() -> None:
    every = IntervalSchedule.objects.create(every=10, period="seconds")
    PeriodicTask.objects.create(
        name="due",
        task="tests.support.tasks.add",
        interval=every,
        args="[1, 2]",
        queue="mail",
        last_run_at=timezone.now() - timedelta(minutes=5),
    )
    JobScheduler(app=unsent()).tick()
    job = Job.objects.get()
    assert (job.task, job.args, job.queue, job.state) == ("tests.support.tasks.add", "[1, 2]", "mail", "pending")
