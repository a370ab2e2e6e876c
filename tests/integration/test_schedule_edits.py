"""An edit of a schedule by any door makes the beat compute its next run anew."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule

from schedules.models import Occurrence, Schedule
from schedules.states import Decided, Kind

pytestmark = pytest.mark.django_db

FAR = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def task() -> PeriodicTask:
    every = IntervalSchedule.objects.create(every=10, period="minutes")
    return PeriodicTask.objects.create(name="hourly", task="tests.support.tasks.noop", interval=every)


def settled(task: PeriodicTask, at: datetime = FAR) -> None:
    """As the beat leaves it."""
    Schedule.objects.filter(pk=task.pk).update(next_run_at=at, error="no luck", errors=3, retry_at=FAR)


def companion(task: PeriodicTask) -> Schedule:
    return Schedule.objects.get(pk=task.pk)


def sql(text: str, *params: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(text, params)


def test_a_new_task_has_a_companion_whose_next_run_is_to_be_computed(task: PeriodicTask) -> None:
    made = companion(task)
    assert (made.active, made.next_run_at, made.overlap, made.misfire, made.window) == (
        True,
        None,
        "allow",
        "run_once",
        60,
    )


def test_a_task_inserted_by_sql_has_one_too(task: PeriodicTask) -> None:
    sql(
        "INSERT INTO django_celery_beat_periodictask (name, task, args, kwargs, headers, interval_id, "
        "enabled, one_off, total_run_count, date_changed, description) "
        "VALUES ('raw', 't', '[]', '{}', '{}', %s, false, false, 0, now(), '')",
        task.interval_id,
    )
    assert not companion(PeriodicTask.objects.get(name="raw")).active


@pytest.mark.parametrize(
    "change",
    [
        "enabled = false",
        "start_time = now()",
        "expires = now()",
        "one_off = true",
        "args = '[1]'",
        "task = 'other'",
        "name = 'renamed'",
        "headers = '{\"a\": 1}'",
        "queue = 'q'",
        "kwargs = '{\"a\": 1}'",
    ],
)
def test_what_matters_of_a_task_is_followed(task: PeriodicTask, change: str) -> None:
    settled(task)
    sql(f"UPDATE django_celery_beat_periodictask SET {change} WHERE id = %s", task.pk)
    now = companion(task)
    assert (now.next_run_at, now.retry_at, now.error, now.errors) == (None, None, "", 0)
    assert now.active == (change != "enabled = false")


@pytest.mark.parametrize("change", ["last_run_at = now()", "total_run_count = 7", "date_changed = now()"])
def test_what_the_beat_itself_writes_is_no_edit(task: PeriodicTask, change: str) -> None:
    settled(task)
    sql(f"UPDATE django_celery_beat_periodictask SET {change} WHERE id = %s", task.pk)
    assert companion(task).next_run_at == FAR


def test_what_is_due_already_stays_due_through_an_edit(task: PeriodicTask) -> None:
    due, before = datetime.now(UTC) - timedelta(seconds=1), companion(task).edited_at
    settled(task, due)
    sql("UPDATE django_celery_beat_periodictask SET args = '[1]' WHERE id = %s", task.pk)
    now = companion(task)
    assert now.next_run_at == due
    assert now.edited_at > before


@pytest.mark.parametrize("kind", ["interval", "crontab", "solar", "clocked"])
def test_an_edit_of_the_times_reaches_every_schedule_that_uses_them(task: PeriodicTask, kind: str) -> None:
    times: Any = {
        "interval": lambda: IntervalSchedule.objects.create(every=1, period="days"),
        "crontab": lambda: CrontabSchedule.objects.create(minute="0"),
        # Past `save`, which would ask for the package that knows the sun.
        "solar": lambda: SolarSchedule.objects.bulk_create([SolarSchedule(event="sunrise", latitude=52, longitude=13)])[
            0
        ],
        "clocked": lambda: ClockedSchedule.objects.create(clocked_time=FAR),
    }[kind]()
    change = {
        "interval": "every = 2",
        "crontab": "timezone = 'Europe/Berlin'",
        "solar": "event = 'sunset'",
        "clocked": "clocked_time = now()",
    }[kind]
    users = [
        PeriodicTask(name=name, task="t", one_off=True, date_changed=FAR, **{kind: times})
        for name in ("first", "second")
    ]
    PeriodicTask.objects.bulk_create(users)
    for each in (*users, task):
        settled(each)
    sql(f"UPDATE django_celery_beat_{kind}schedule SET {change} WHERE id = %s", times.pk)
    assert [companion(each).next_run_at for each in (*users, task)] == [None, None, FAR]


def test_a_deleted_task_takes_its_companion_and_its_history_along(task: PeriodicTask) -> None:
    Occurrence.objects.create(schedule_id=task.pk, due_at=FAR, kind=Kind.SCHEDULE, state=Decided.FIRED)
    sql("DELETE FROM django_celery_beat_periodictask WHERE id = %s", task.pk)
    assert not Schedule.objects.filter(pk=task.pk).exists()
    assert not Occurrence.objects.exists()


def test_the_admin_can_delete_one_too(task: PeriodicTask) -> None:
    Occurrence.objects.create(schedule_id=task.pk, due_at=FAR, kind=Kind.SCHEDULE, state=Decided.FIRED)
    task.delete()
    assert not Occurrence.objects.exists()
