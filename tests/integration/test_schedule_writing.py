"""One way to make, change and delete a schedule, whatever door it came by."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django_celery_beat.models import PeriodicTask

from jobs.errors import InvalidActor
from jobs.models import AuditEntry
from schedules import writing
from schedules.errors import InvalidFields, OwnedByCode, ScheduleNotFound
from schedules.fields import NAMES, Fields, fields_of
from schedules.models import Schedule
from tests.support import tasks  # noqa: F401  registers them
from tests.support.schedules import NOOP, companion, history, make_due, make_schedule, tick
from tests.support.wait import wait_until

pytestmark = pytest.mark.django_db

ADD = "tests.support.tasks.add"
START = datetime(2100, 1, 1, tzinfo=UTC)
EVERYTHING: dict[str, Any] = {
    "name": "nightly",
    "task": ADD,
    "when": "0 2 * * mon-fri",
    "zone": "Europe/Berlin",
    "args": [1],
    "kwargs": {"y": 2},
    "headers": {"tenant": "acme"},
    "queue": "mail",
    "enabled": False,
    "description": "Adds.",
    "starts_at": START,
    "ends_at": START + timedelta(days=9),
    "overlap": "skip",
    "misfire": "run_all",
    "misfire_cap": 7,
    "spread": 60.0,
    "window": 5.0,
    "jitter": 3.0,
    "max_runs": 4,
    "pause_after_failures": 2,
    "priority": -40,
    "timeout": 9.0,
    "max_retries": 1,
    "expires_after": 600.0,
    "unique_key": "one",
    "tags": {"team": "a"},
}


def create(**given: Any) -> int:
    return writing.create(Fields(**{"name": "minutely", "task": NOOP, "when": "@every 1m", **given}), actor="ada")


def change(id_: int, **given: Any) -> dict[str, Any]:
    return writing.change(id_, given, actor="ada", reason="why not", ip="10.0.0.1")


def stored(id_: int) -> PeriodicTask:
    return PeriodicTask.objects.get(pk=id_)


def said(id_: int) -> dict[str, Any]:
    fields = fields_of(stored(id_))
    return {name: getattr(fields, name) for name in NAMES}


def refused(call: Any, *args: Any, **given: Any) -> dict[str, str]:
    with pytest.raises(InvalidFields) as caught:
        call(*args, **given)
    return caught.value.errors


def test_every_field_is_kept_and_read_again() -> None:
    assert set(EVERYTHING) == set(NAMES)
    assert said(create(**EVERYTHING)) == EVERYTHING


@pytest.mark.parametrize(
    "when", ["*/5 * * * *", "@every 90m", "@every 1d", "@at 2100-01-01T00:00+00:00", "@solar sunrise 52.52 13.41"]
)
def test_every_kind_of_times_is_kept(when: str) -> None:
    if when.startswith("@solar"):
        pytest.importorskip("ephem", reason="solar schedules need ephem, which is not among the requirements")
    expected = {"@every 90m": "@every 1h30m"}.get(when, when)
    assert said(create(when=when))["when"] == expected


def test_a_new_one_is_told_to_the_audit_log_with_what_is_special_about_it() -> None:
    id_ = create(priority="high", starts_at=START)
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.resource_type, entry.resource_id, entry.actor) == (
        "create",
        "schedule",
        str(id_),
        "ada",
    )
    assert entry.detail == {
        "reason": "",
        "name": "minutely",
        "task": NOOP,
        "when": "@every 1m",
        "priority": "high",
        "starts_at": START.isoformat(),
    }


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"name": ""}, "name", "blank"),
    ({"name": "x" * 201}, "name", "at most 200 characters"),
    ({"name": "a\0"}, "name", "NUL"),
    ({"description": "\ud800"}, "description", "surrogate"),
    ({"task": "tests.support.tasks.nop"}, "task", "Did you mean 'tests.support.tasks.noop'?"),
    ({"task": "jobs.run"}, "task", "Unknown task"),
    ({"args": [1]}, "args", "too many positional"),
    ({"kwargs": {"z": 1}}, "kwargs", "unexpected keyword argument 'z'"),
    ({"args": [object()]}, "args", "can't be written as JSON"),
    ({"queue": "jobs.any"}, "queue", "is the platform's own"),
    ({"when": "* * *"}, "when", "of 3 fields"),
    ({"when": "61 * * * *"}, "when", "Invalid minute '61'"),
    ({"when": "0 0 31 feb *"}, "when", "Never due"),
    ({"when": "@every 0s"}, "when", "Invalid interval"),
    ({"when": "@every 3000000001s"}, "when", "too long to be counted in seconds"),
    ({"when": "1,2," * 80 + "3 * * * *"}, "when", "expected up to 240"),
    ({"when": "@at 2020-01-01T00:00Z"}, "when", "has passed"),
    ({"when": "0 0 * * *", "zone": "Europe/Berlim"}, "zone", "Unknown timezone"),
    ({"starts_at": datetime(2100, 1, 1)}, "starts_at", "no time zone"),  # noqa: DTZ001
    ({"starts_at": START, "ends_at": START}, "ends_at", "end before it starts"),
    ({"ends_at": START.replace(year=2020)}, "ends_at", "Nothing would be due"),
    ({"overlap": "never"}, "overlap", "not a valid choice"),
    ({"misfire_cap": 0}, "misfire_cap", "greater than or equal to 1"),
    ({"max_runs": 2**31}, "max_runs", "less than or equal to"),
    ({"priority": "urgent"}, "priority", "is not known"),
    ({"priority": 101}, "priority", "is not known"),
    ({"tags": {"a": "\0"}}, "tags", "NUL"),
    ({"unique_key": "k" * 501}, "unique_key", "at most 500"),
]


@pytest.mark.parametrize(
    ("given", "field", "says"), REFUSED, ids=[f"{field}-{n}" for n, (_, field, _) in enumerate(REFUSED)]
)
def test_what_makes_no_schedule_is_said_of_its_field_and_nothing_is_written(given: Any, field: str, says: str) -> None:
    before = PeriodicTask.objects.count()
    errors = refused(create, **given)
    assert list(errors) == [field]
    assert says in errors[field]
    assert (PeriodicTask.objects.count(), AuditEntry.objects.count()) == (before, 0)


def test_all_that_is_wrong_is_said_at_once() -> None:
    errors = refused(create, when="x", zone="Nowhere", window=-1, ends_at=START, starts_at=START)
    assert set(errors) == {"zone", "window", "ends_at"}


def test_a_name_is_given_once() -> None:
    id_, other = create(), create(name="other")
    assert refused(create) == {
        "name": f"Schedule {id_} has the name 'minutely' already. Choose another, or change that one."
    }
    assert "name" in refused(change, other, name="minutely")
    assert change(id_, name="minutely") == {}


def test_a_change_touches_what_was_given_and_says_what_it_was() -> None:
    id_ = create(**EVERYTHING)
    changed = change(id_, when="@hourly", kwargs={"y": 3})
    assert changed == {"when": ("0 2 * * mon-fri", "0 * * * *"), "kwargs": ({"y": 2}, {"y": 3})}
    assert said(id_) == {**EVERYTHING, "when": "0 * * * *", "kwargs": {"y": 3}}
    entry = AuditEntry.objects.get(action="change")
    assert (entry.ip, entry.detail) == (
        "10.0.0.1",
        {
            "reason": "why not",
            "name": "nightly",
            "changes": {
                "when": {"from": "0 2 * * mon-fri", "to": "0 * * * *"},
                "kwargs": {"from": {"y": 2}, "to": {"y": 3}},
            },
        },
    )


def test_a_zone_alone_moves_the_times() -> None:
    id_ = create(when="0 8 * * *", zone="Europe/Berlin")
    change(id_, zone="Asia/Tokyo")
    assert (said(id_)["when"], said(id_)["zone"]) == ("0 8 * * *", "Asia/Tokyo")


def test_a_change_of_nothing_is_none() -> None:
    id_ = create(**EVERYTHING)
    settled = START + timedelta(days=1)
    companion(stored(id_), next_run_at=settled)
    assert change(id_, **EVERYTHING) == {}
    assert companion(stored(id_)).next_run_at == settled
    assert not AuditEntry.objects.filter(action="change").exists()


def test_what_beat_has_places_for_moves_to_the_companion() -> None:
    task = make_schedule(expire_seconds=30)
    PeriodicTask.objects.filter(pk=task.pk).update(priority=7)
    assert (said(task.pk)["expires_after"], said(task.pk)["priority"]) == (30, 7)
    change(task.pk, ends_at=START, expires_after=60.0, priority=9)
    assert (said(task.pk)["expires_after"], said(task.pk)["priority"]) == (60.0, 9)
    task = stored(task.pk)
    assert (task.expire_seconds, task.priority) == (None, None)


def test_a_change_of_a_disabled_one_keeps_its_last_run() -> None:
    task = make_schedule(enabled=False)
    PeriodicTask.objects.filter(pk=task.pk).update(last_run_at=START)
    change(task.pk, description="later")
    assert stored(task.pk).last_run_at == START


def test_what_is_over_may_still_be_described() -> None:
    id_ = create(when="@at 2100-01-01T00:00Z")
    task = stored(id_)
    task.clocked.clocked_time = START.replace(year=2020)
    task.clocked.save()
    change(id_, description="was once")
    assert "has passed" in refused(change, id_, when="@at 2020-01-01T00:00Z")["when"]


def test_a_refused_change_leaves_everything_as_it_was() -> None:
    id_ = create(**EVERYTHING)
    assert "args" in refused(change, id_, name="other", kwargs={"z": 1})
    assert said(id_) == EVERYTHING


def test_what_is_gone_is_not_found() -> None:
    for verb in (
        change,
        lambda id_: writing.remove(id_, actor="ada"),
        lambda id_: writing.switch(id_, True, actor="ada"),
    ):
        with pytest.raises(ScheduleNotFound, match="There is no schedule '99'"):
            verb(99)


def test_nobody_changes_nothing() -> None:
    id_ = create()
    for verb in (
        lambda: writing.create(Fields(name="x", task=NOOP, when="@daily"), actor=" "),
        lambda: writing.change(id_, {"name": "y"}, actor=""),
        lambda: writing.switch(id_, False, actor=""),
        lambda: writing.remove(id_, actor=""),
    ):
        with pytest.raises(InvalidActor):
            verb()
    assert (said(id_)["name"], said(id_)["enabled"]) == ("minutely", True)


class TestOwnedByCode:
    def owned(self, **columns: Any) -> int:
        task = make_schedule()
        companion(task, managed_by="code", **columns)
        return task.pk

    def test_it_is_neither_changed_nor_switched_nor_deleted(self) -> None:
        id_ = self.owned(editable=False)
        with pytest.raises(OwnedByCode, match=r"'minutely' is declared in code.*editable=True"):
            change(id_, name="x")
        with pytest.raises(OwnedByCode):
            writing.switch(id_, False, actor="ada")
        with pytest.raises(OwnedByCode, match="It would come back"):
            writing.remove(id_, actor="ada")
        assert (said(id_)["name"], said(id_)["enabled"], AuditEntry.objects.count()) == ("minutely", True, 0)

    def test_it_is_changed_where_its_declaration_says_so(self) -> None:
        id_ = self.owned(editable=True)
        change(id_, name="x")
        assert writing.switch(id_, False, actor="ada")
        with pytest.raises(OwnedByCode):
            writing.remove(id_, actor="ada")

    def test_it_is_anybodys_when_it_has_left_the_code(self) -> None:
        id_ = self.owned(editable=False, withdrawn=True)
        change(id_, name="x")
        writing.remove(id_, actor="ada")
        assert not Schedule.objects.filter(pk=id_).exists()


def test_switching_says_whether_it_did() -> None:
    id_ = create()
    assert [writing.switch(id_, enabled, actor="ada") for enabled in (True, False, False)] == [False, True, False]
    assert list(AuditEntry.objects.order_by("id").values_list("action", flat=True)) == ["create", "disable"]


def test_removing_takes_the_history_along() -> None:
    id_ = create()
    writing.remove(id_, actor="ada", reason="done with", ip="::1")
    entry = AuditEntry.objects.get(action="delete")
    assert (entry.detail["reason"], entry.ip) == ("done with", "::1")
    assert not PeriodicTask.objects.filter(pk=id_).exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_with_one_name_the_later_is_told_so() -> None:
    def too_late() -> None:
        try:
            found.append(refused(create))
        finally:
            connection.close()

    found: list[dict[str, str]] = []
    with transaction.atomic():
        create()
        other = threading.Thread(target=too_late)
        other.start()
        wait_until(_somebody_waits)
    other.join()
    assert found == [{"name": "Another schedule has the name 'minutely' already. Choose another, or change that one."}]


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        return cursor.fetchone()[0]


@pytest.mark.django_db(transaction=True)
def test_a_change_acts_at_the_beats_next_look() -> None:
    task = make_schedule(every=60)
    tick()
    change(task.pk, when="@every 1s", starts_at=START.replace(year=2020))
    tick()
    at = companion(task).next_run_at
    assert at is not None
    assert at < companion(task).edited_at + timedelta(seconds=2)
    make_due(stored(task.pk))
    change(task.pk, args=[], task=NOOP, description="due already")
    tick()
    assert [one.state for one in history(task)] == ["fired"]
