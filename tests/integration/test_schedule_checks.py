"""A schedule that would never be due is refused where it is saved."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from schedules.checking import check
from tests.support.schedules import NOOP, make_schedule

pytestmark = pytest.mark.django_db

NEVER: dict[str, Any] = {"minute": "0", "hour": "0", "day_of_month": "31", "month_of_year": "2"}


def test_a_crontab_that_never_matches_is_refused() -> None:
    with pytest.raises(ValidationError, match="31"):
        CrontabSchedule.objects.create(**NEVER)
    assert not CrontabSchedule.objects.filter(day_of_month="31").exists()


def test_so_is_a_task_that_would_use_one() -> None:
    (never,) = CrontabSchedule.objects.bulk_create([CrontabSchedule(**NEVER)])
    with pytest.raises(ValidationError):
        PeriodicTask.objects.create(name="never", task=NOOP, crontab=never)


def test_an_interval_below_a_second_is_refused() -> None:
    with pytest.raises(ValidationError, match="whole seconds"):
        IntervalSchedule.objects.create(every=5, period="microseconds")


def test_a_save_of_other_fields_is_not_checked() -> None:
    task = make_schedule()
    PeriodicTask.objects.update(interval=None)
    task.refresh_from_db()
    with pytest.raises(ValidationError):
        check(task)
    task.interval = IntervalSchedule.objects.get(every=60, period="seconds")
    task.save(update_fields=["interval"])
    assert PeriodicTask.objects.get(pk=task.pk).interval is not None
