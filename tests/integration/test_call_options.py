"""Call options: what becomes a column, what travels, what is refused with which sentence."""

from datetime import UTC, date, datetime, timedelta

import pytest
from celery import current_app, group, shared_task
from django.contrib.auth.models import User
from django.db import transaction
from kombu import Queue as BrokerQueue

from jobs.errors import InvalidJob
from jobs.models import Job, Queue
from tests.support.engine import run_result, unsent
from tests.support.tasks import add

pytestmark = pytest.mark.usefixtures("link")


@shared_task(max_retries=4)
def declared():
    return None


@shared_task(autoretry_for=(OSError,))
def autoretried():
    return None


IN_AN_HOUR = datetime.now(UTC) + timedelta(hours=1)


@pytest.mark.parametrize(
    ("options", "columns"),
    [
        ({"countdown": 60}, {"state": "scheduled"}),
        ({"countdown": -5}, {"state": "pending", "run_at": None}),
        ({"countdown": -1e9}, {"state": "pending"}),
        ({"eta": IN_AN_HOUR}, {"state": "scheduled", "run_at": IN_AN_HOUR}),
        ({"eta": IN_AN_HOUR.replace(tzinfo=None)}, {"run_at": IN_AN_HOUR}),
        ({"eta": IN_AN_HOUR.isoformat()}, {"run_at": IN_AN_HOUR}),
        ({"eta": datetime(9999, 12, 29, tzinfo=UTC)}, {"state": "scheduled"}),
        ({"eta": datetime(2001, 1, 1, tzinfo=UTC)}, {"state": "pending"}),
        ({"expires": IN_AN_HOUR}, {"expires_at": IN_AN_HOUR}),
        ({"priority": "high"}, {"priority": 20}),
        ({"priority": -100}, {"priority": -100}),
        ({"queue": "q"}, {"queue": "q"}),
        ({"queue": BrokerQueue("q")}, {"queue": "q"}),
        ({"routing_key": "q"}, {"queue": "q"}),
        ({"tags": {"a": "b"}}, {"tags": {"a": "b"}}),
        ({"reference": ("order", 5)}, {"reference_type": "order", "reference_id": "5"}),
        ({"max_retries": 9}, {"max_retries": 9}),
        ({"max_retries": None}, {"max_retries": None}),
        ({"shadow": "label"}, {"name": "label"}),
        ({"headers": {"a": 1}}, {"options": '{"headers": {"a": 1}}'}),
        ({"time_limit": "10", "soft_time_limit": 5}, {"options": '{"time_limit": 10.0, "soft_time_limit": 5.0}'}),
        ({"ignore_result": True}, {"options": '{"ignore_result": true}'}),
        ({"created_by": "ann"}, {"created_by": "ann"}),
    ],
)
def test_an_option_becomes_a_column_or_travels(options: dict, columns: dict) -> None:
    add.apply_async((1, 2), **options)
    job = Job.objects.get()
    assert {name: getattr(job, name) for name in columns} == columns


def test_relative_times_count_from_the_databases_clock() -> None:
    add.apply_async((1, 2), countdown=60, expires=3600)
    job = Job.objects.get()
    assert (job.run_at - job.created_at, job.expires_at - job.created_at) == (timedelta(minutes=1), timedelta(hours=1))


def test_a_reference_may_be_a_saved_model_only() -> None:
    user = User.objects.create(username="a")
    add.apply_async((1, 2), reference=user)
    assert (Job.objects.get().reference_type, Job.objects.get().reference_id) == ("auth.user", str(user.pk))
    with pytest.raises(InvalidJob, match="is not saved yet"):
        add.apply_async((1, 2), reference=User(username="b"))


def test_a_task_declares_its_priority_and_retries_by_any_door(settings, monkeypatch) -> None:
    monkeypatch.setattr(declared, "priority", 7)  # as an attribute of the class it is deprecated by Celery
    settings.JOBS_DEFAULT_MAX_RETRIES = 2
    for call in (declared.delay, declared.s().delay, lambda: current_app.send_task(declared.name)):
        call()
    add.delay(1, 2)
    autoretried.delay()
    rows = Job.objects.order_by("created_at").values_list("queue", "priority", "max_retries")
    assert list(rows) == [("default", 7, 4)] * 3 + [("default", 10, 2), ("default", 10, 3)]
    declared.apply_async(queue="other", priority=1, max_retries=0)
    assert Job.objects.filter(queue="other", priority=1, max_retries=0).exists()


def test_routes_choose_the_queue() -> None:
    app = unsent()
    app.conf.task_routes = {"far.*": {"queue": "routed", "priority": 5}}
    app.send_task("far.away")
    app.send_task("near")
    assert sorted(Job.objects.values_list("task", "queue", "priority")) == [
        ("far.away", "routed", 5),
        ("near", "default", 10),
    ]


def test_aging_of_its_queue_decides_a_jobs_rank() -> None:
    Queue.objects.create(name="strict", aging_us=10**15)
    for priority in (-100, 100):
        add.apply_async((1, 2), queue="strict", priority=priority)
    low, high = Job.objects.order_by("priority")
    assert low.rank - high.rank == pytest.approx(200 * 10**15, abs=10**9)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"countdown": 1e12}, "countdown=1000000000000.0 s is out of range"),
        ({"countdown": float("nan")}, "countdown=nan s is out of range"),
        ({"countdown": "soon"}, "countdown='soon' is no number of seconds"),
        ({"expires": 10**400}, "expires=1000"),
        ({"eta": "tomorrow"}, "eta='tomorrow' is no moment"),
        ({"eta": date(2030, 1, 1)}, "eta=datetime.date"),
        ({"eta": 5}, "eta=5 is no moment"),
        (
            {"eta": datetime(9999, 12, 31)},  # noqa: DTZ001
            "expected an aware datetime from 1970 to 9999-12-30",
        ),
        ({"eta": datetime.max.replace(tzinfo=UTC)}, "from 1970 to 9999-12-30"),
        (
            {"expires": datetime(1, 1, 1)},  # noqa: DTZ001
            "from 1970 to 9999-12-30",
        ),
        ({"priority": "urgent"}, "expected -100 to 100 or one of"),
        ({"max_retries": 10**12}, "max_retries is 1000000000000"),
        ({"max_retries": "x"}, "max_retries is 'x'"),
        ({"reference": "ab"}, "pass a model instance or a .type, id. pair"),
        ({"reference": ("a\x00", 1)}, "without NUL"),
        ({"queue": "x" * 201}, "at most 200 characters"),
        ({"shadow": "\ud800"}, "half a surrogate pair"),
        ({"created_by": 5}, "created_by '5' must be text"),
        ({"task_id": "x" * 10_000_000}, "at most 500 characters"),
        ({"task_id": 5}, "must be text"),
        ({"serializer": "pickle"}, "serializer='pickle' is refused: jobs are JSON"),
        ({"queue": "jobs.any"}, "the platform's own"),
        ({"time_limit": 0}, "a limit must be above 0"),
        ({"time_limit": "x"}, "time_limit='x' is no number of seconds"),
        ({"time_limit": 5, "soft_time_limit": 6}, "soft_time_limit=6 s is above time_limit=5 s"),
        ({"coutdown": 5}, "Unknown call option 'coutdown'. Did you mean 'countdown'?"),
        ({"tags": {"a": 1}}, "Tags must map strings to strings"),
        *(({"reference": pair}, "pass a model instance or a .type, id. pair") for pair in (("a", None), (None, 1))),
        *(
            ({name: value}, f"{name}=.*: expected a signature, as task.s.…., or a list of them")
            for name in ("link", "link_error")
            for value in (
                *("x", 5, 0, add, ["x"], {"a": 1}, {"task": "a"}, {"task": 5, "args": [], "kwargs": {}, "options": {}}),
                *({**add.si(1, 2), what: None} for what in ("args", "kwargs", "options")),
                {**add.si(1, 2), "subtask_type": "row"},
            )
        ),
        *(({"headers": value}, "headers=.*: expected a mapping of names to values") for value in (5, "x", [1], {1: 2})),
        *(({"chain": value}, "chain=.*: expected a list of signatures") for value in (5, "x", add.si(1, 2), [5])),
        *(({"stamped_headers": value}, "stamped_headers=.*: expected a list of names") for value in (5, "x", [5])),
        ({"headers": {"a": float("nan")}}, "options can't be written as JSON"),
    ],
)
def test_a_refused_call_says_why_and_leaves_the_transaction_usable(options: dict, said: str) -> None:
    with transaction.atomic():
        with pytest.raises(InvalidJob, match=said):
            add.apply_async((1, 2), **options)
        User.objects.create(username="still here")
    assert User.objects.exists()
    assert not Job.objects.exists()


@pytest.mark.parametrize("name", ["link", "link_error", "headers", "chain", "stamped_headers"])
@pytest.mark.parametrize("nothing", [None, "", [], {}, ()])
def test_nothing_is_nothing(name: str, nothing: object) -> None:
    add.apply_async((1, 2), **{name: nothing})
    assert Job.objects.get().options in (None, f'{{"{name}": []}}')


@pytest.mark.parametrize(
    "callback", [add.si(1, 2), [add.si(1, 2), dict(add.si(1, 2))], group(add.si(1, 2)), (add.s(),)]
)
def test_callbacks_are_signatures_of_any_kind(callback: object) -> None:
    add.apply_async((1, 2), link=callback, link_error=callback)
    assert Job.objects.get().options.count(add.name) == 2 * (2 if isinstance(callback, list) else 1)


@shared_task(bind=True, max_retries=3)
def retries_with(self, **options):
    self.retry(**options)


def test_a_retry_is_refused_what_a_call_is_refused(link) -> None:
    job = run_result(link, retries_with.delay(link=5))
    assert "link=5: expected a signature" in job.error
