"""Schedules that code declares: written at migrate and at a beat's start, theirs while the code declares them."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery import current_app
from celery.schedules import crontab
from django.core.management import call_command
from django_celery_beat.models import PeriodicTask

from schedules import declared, schedule
from schedules.code import synchronise
from schedules.models import Schedule
from tests.support.schedules import NOOP, beat, companion, make_schedule
from tests.support.tasks import add, noop

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_decorated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declared, "_decorated", [])


@pytest.fixture
def beat_schedule() -> Iterator[dict[str, Any]]:
    conf = current_app.conf
    table: dict[str, Any] = {}
    conf.beat_schedule = table
    yield table
    conf.beat_schedule = {}


def synchronised() -> None:
    synchronise(current_app._get_current_object())


def of(name: str) -> PeriodicTask:
    return PeriodicTask.objects.get(name=name)


def test_a_decorated_task_is_a_schedule_owned_by_code() -> None:
    assert schedule("@every 5m", overlap="skip", priority="high", tags={"a": "b"})(noop) is noop
    schedule("0 3 * * *", name="add at night", zone="Europe/Berlin", args=[1, 2], queue="q")(add)
    synchronised()
    task, night = of(NOOP), of("add at night")
    assert (task.task, str(task.interval), task.enabled) == (NOOP, "every 5 minutes", True)
    found = companion(task)
    assert (found.managed_by, found.editable, found.overlap, found.priority, found.tags) == (
        "code",
        False,
        "skip",
        20,
        {"a": "b"},
    )
    assert (night.crontab.hour, str(night.crontab.timezone), night.args, night.queue) == (
        "3",
        "Europe/Berlin",
        "[1, 2]",
        "q",
    )


def test_the_table_is_read_too(settings: Any) -> None:
    settings.SCHEDULES = {"cleanup": {"task": NOOP, "when": "@hourly", "kwargs": {"a": 1}, "enabled": False}}
    synchronised()
    assert (of("cleanup").crontab.minute, of("cleanup").kwargs, of("cleanup").enabled) == ("0", '{"a": 1}', False)


def test_celerys_own_table_is_read_with_its_kinds_of_schedules(beat_schedule: dict[str, Any]) -> None:
    beat_schedule |= {
        "cron": {
            "task": NOOP,
            "schedule": crontab(minute="*/15", hour={3, 4}),
            "options": {"queue": "q", "expires": 60},
        },
        "number": {"task": NOOP, "schedule": 30.0, "args": (1,)},
        "delta": {"task": NOOP, "schedule": timedelta(hours=2)},
    }
    synchronised()
    assert (of("cron").crontab.minute, of("cron").crontab.hour, of("cron").queue) == ("*/15", "3,4", "q")
    assert companion(of("cron")).expires_after == 60
    assert (str(of("number").interval), of("number").args) == ("every 30 seconds", "[1]")
    assert str(of("delta").interval) == "every 2 hours"


def test_celerys_cleanup_of_results_is_there_where_results_expire() -> None:
    current_app.conf.result_expires = 3600
    try:
        synchronised()
    finally:
        current_app.conf.result_expires = None
    assert of("celery.backend_cleanup").task == "celery.backend_cleanup"


def test_an_edit_of_a_fixed_one_is_undone_and_one_of_an_editable_one_stays(settings: Any) -> None:
    settings.SCHEDULES = {
        "fixed": {"task": NOOP, "when": "@every 5m"},
        "free": {"task": NOOP, "when": "@every 5m", "editable": True, "overlap": "skip"},
    }
    synchronised()
    PeriodicTask.objects.update(queue="elsewhere")
    Schedule.objects.update(overlap="queue_one", window=5)
    synchronised()
    assert (of("fixed").queue, companion(of("fixed")).overlap, companion(of("fixed")).window) == (None, "allow", 60)
    assert (of("free").queue, companion(of("free")).overlap) == ("elsewhere", "queue_one")


def test_without_a_change_nothing_is_computed_anew(settings: Any) -> None:
    settings.SCHEDULES = {"fixed": {"task": NOOP, "when": "@every 5m", "starts_at": None}}
    synchronised()
    beat().tick()
    before = companion(of("fixed"))
    assert before.next_run_at is not None
    synchronised()
    assert companion(of("fixed")).edited_at == before.edited_at


def test_one_that_leaves_the_code_is_disabled_and_enabled_when_it_comes_back(settings: Any, caplog: Any) -> None:
    settings.SCHEDULES = {"gone": {"task": NOOP, "when": "@every 5m", "editable": True}}
    synchronised()
    table, settings.SCHEDULES = settings.SCHEDULES, {}
    synchronised()
    assert not of("gone").enabled
    assert "schedule 'gone' is declared in code no more: disabled" in caplog.text
    settings.SCHEDULES = table
    synchronised()
    assert of("gone").enabled


def test_those_of_people_are_left_alone_and_one_of_the_same_name_is_taken_over(settings: Any) -> None:
    mine, theirs = make_schedule("mine"), make_schedule("theirs")
    settings.SCHEDULES = {"theirs": {"task": NOOP, "when": "@every 7m"}}
    synchronised()
    mine.refresh_from_db()
    assert (mine.enabled, companion(mine).managed_by) == (True, "")
    assert (companion(theirs).managed_by, str(of("theirs").interval)) == ("code", "every 7 minutes")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"when": "0 0 31 2 *"}, "31"),
        ({"when": "@every 5m", "overlpa": "skip"}, "Did you mean 'overlap'?"),
        ({"when": "@every 5m", "overlap": "never"}, "'never' is not a valid choice"),
        ({"when": "@every 5m", "window": -1}, "greater than or equal to 0"),
        ({"when": "@every 5m", "priority": 101}, "Priority 101 is not known"),
        ({"when": 0.5}, "Expected whole seconds"),
        ({"when": object()}, "Unknown schedule"),
        ({"when": "@hourly", "zone": "Mars"}, "Unknown timezone 'Mars'"),
    ],
)
def test_a_declaration_that_can_not_be_is_said_and_the_others_are_written(
    settings: Any, caplog: Any, options: dict[str, Any], said: str
) -> None:
    settings.SCHEDULES = {"bad": {"task": NOOP, **options}, "good": {"task": NOOP, "when": "@every 5m"}}
    synchronised()
    assert not PeriodicTask.objects.filter(name="bad").exists()
    assert of("good").enabled
    assert "declared schedule 'bad' is not written" in caplog.text
    assert said in caplog.text


def test_a_table_that_is_none_disables_nothing(settings: Any, caplog: Any) -> None:
    settings.SCHEDULES = {"good": {"task": NOOP, "when": "@every 5m"}}
    synchronised()
    settings.SCHEDULES = {"half": {"task": NOOP}}
    synchronised()
    assert of("good").enabled
    assert "lacks when" in caplog.text


def test_a_migrate_writes_what_is_declared(settings: Any) -> None:
    settings.SCHEDULES = {"at migrate": {"task": NOOP, "when": "@every 5m"}}
    call_command("migrate", verbosity=0)
    assert of("at migrate").enabled


def test_a_beat_that_starts_does_so_too(settings: Any) -> None:
    settings.SCHEDULES = {"at start": {"task": NOOP, "when": "@every 5m"}}
    beat().tick()
    assert of("at start").enabled
