"""Celery beat over the admin's schedules: a due one inserts a job, and needs no broker."""

import json

import pytest
from celery import current_app
from django_celery_beat.models import PeriodicTask

from jobs.models import Job
from schedules.scheduler import JobScheduler
from tests.support.engine import unsent
from tests.support.schedules import make_due, make_schedule


@pytest.mark.django_db
def test_check_feeds_stands_every_five_minutes_off_and_ready_for_an_address() -> None:
    schedule = PeriodicTask.objects.get(name="check_feeds")
    assert (schedule.task, schedule.enabled) == ("feeds.check", False)
    assert str(schedule.interval) == "every 5 minutes"
    assert json.loads(schedule.kwargs) == {"url": ""}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "task", "when"),
    [
        ("check_blocking_stats", "blocking.check", "every 60 minutes"),
        ("cleanup_blocking_stats", "blocking.cleanup", "0 3 * * * (m/h/dM/MY/d) UTC"),
        ("cleanup_tempfiles", "tempfiles.cleanup", "every 60 minutes"),
    ],
)
def test_built_in_tasks_have_schedules_that_are_enabled_and_never_overlap(name: str, task: str, when: str) -> None:
    schedule = PeriodicTask.objects.select_related("companion").get(name=name)
    assert (schedule.task, schedule.enabled, schedule.companion.overlap) == (task, True, "skip")
    assert str(schedule.interval or schedule.crontab) == when
    assert task in current_app.tasks


@pytest.mark.django_db(transaction=True)
def test_a_due_schedule_becomes_a_job_while_the_broker_is_away() -> None:
    task = make_schedule(task="tests.support.tasks.add", args="[1, 2]", queue="mail")
    make_due(task)
    JobScheduler(app=unsent()).tick()
    job = Job.objects.get()
    assert (job.task, job.args, job.queue, job.state) == ("tests.support.tasks.add", "[1, 2]", "mail", "pending")
