"""Many calls at once: all or none, few statements, and each row as its own call would have written it."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from celery import signals
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from jobs.app.many import Call
from jobs.engine import NewJob, enqueue
from jobs.engine.enqueue import CHUNK, enqueue_all
from jobs.engine.link import Link
from jobs.errors import DuplicateJob, InvalidJob, QueueFull
from jobs.models import Job, Queue
from jobs.states import State
from tests.support.engine import row, run
from tests.support.tasks import add, untracked

OWN = {"id", "created_at", "updated_at", "ready_at", "rank", "args", "kwargs"}


def values(job: Job) -> dict:
    return {f.attname: getattr(job, f.attname) for f in Job._meta.concrete_fields if f.attname not in OWN}


def test_rows_are_what_their_own_calls_would_be(link: Link) -> None:
    options = {
        "priority": "high",
        "tags": {"a\tb": "c\\n"},
        "queue": "mail",
        "reference": ("order", "7"),
        "shadow": "x\ny",
    }
    one = Job.objects.get(pk=add.apply_async((1, 2), **options).id)
    ids = add.enqueue_many([(1, 2), {"x": 3, "y": 4}], **options)
    first, second = (Job.objects.get(pk=id_) for id_ in ids)
    assert values(first) == values(second) == values(one)
    assert (first.args, first.kwargs, second.args, second.kwargs) == ("[1, 2]", "{}", "[]", '{"x": 3, "y": 4}')
    for job in (one, first, second):
        assert job.rank == round(job.ready_at.timestamp() * 1e6) - 20 * 360_000_000


def test_they_run(link: Link) -> None:
    for id_ in add.enqueue_many([(1, 2), {"x": 3, "y": 4}, ["back\\slash", ' "quoted"\t\n é']]):
        run(link, row(id_).pk)
    assert set(Job.objects.values_list("state", "result")) == {
        (State.COMPLETED, "3"),
        (State.COMPLETED, "7"),
        (State.COMPLETED, '"back\\\\slash \\"quoted\\"\\t\\n \\u00e9"'),
    }


def test_celery_s_own_types_arrive(link: Link) -> None:
    (id_,) = add.enqueue_many([(Decimal("1.5"), Decimal(2))])
    run(link, row(id_).pk)
    assert add.AsyncResult(id_).get() == Decimal("3.5")


def test_delays_and_expiries_are_those_of_a_call(link: Link) -> None:
    moment = datetime.now(UTC) + timedelta(hours=1)
    (later,) = add.enqueue_many([(1, 2)], eta=moment, expires=7200)
    (soon,) = add.enqueue_many([(1, 2)], countdown=-5)
    assert (row(later).state, row(later).run_at) == (State.SCHEDULED, moment)
    assert row(later).expires_at - row(later).created_at == timedelta(hours=2)
    assert (row(soon).state, row(soon).run_at) == (State.PENDING, None)


def test_ids_come_back_in_the_order_of_the_rows(link: Link) -> None:
    ids = add.enqueue_many([(n, 0) for n in range(1200)])
    assert [row(ids[n]).args for n in (0, 499, 500, 1199)] == [f"[{n}, 0]" for n in (0, 499, 500, 1199)]


def test_any_number_of_rows_takes_the_same_few_statements(link: Link) -> None:
    def statements(count: int) -> int:
        with transaction.atomic(), CaptureQueriesContext(connection) as captured:
            add.enqueue_many([(n, 0) for n in range(count)])
        return len(captured)

    assert statements(1) <= 5
    assert statements(3000) <= 5


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ((1,), "Row 1: task .* does not take these arguments"),
        ({"x": 1, "z": 2}, "Row 1: task .* does not take these arguments"),
        ("ab", "Row 1 is 'ab'"),
        (7, "Row 1 is 7"),
        ((1, float("nan")), "Row 1: The job's args can't be written as JSON"),
        ((1, "\x00"), "Row 1: The job's args hold a NUL"),
        (Call((1, 2), options={"colour": "red"}), "Row 1: Unknown call option 'colour'"),
    ],
)
def test_one_bad_row_is_named_and_nothing_is_written(link: Link, bad: object, said: str) -> None:
    with transaction.atomic():
        with pytest.raises(InvalidJob, match=said):
            add.enqueue_many([(1, 2), bad, (3, 4)])
        add.delay(5, 6)
    assert Job.objects.get().args == "[5, 6]"


def test_options_that_can_t_be_shared_are_refused(link: Link) -> None:
    with pytest.raises(InvalidJob, match="task_id"):
        add.enqueue_many([(1, 2)], task_id="seven")
    with pytest.raises(InvalidJob, match="track=False"):
        untracked.enqueue_many([("x",)])


def test_rows_with_options_of_their_own(link: Link) -> None:
    ids = add.enqueue_many(
        [Call((1, 2), options={"task_id": "seven", "queue": "mail"}), (3, 4), Call((5,), {"y": 6}, {"countdown": 60})],
        priority=5,
    )
    jobs = [row(id_) for id_ in ids]
    assert [(job.queue, job.priority, job.state) for job in jobs] == [
        ("mail", 5, "pending"),
        ("default", 5, "pending"),
        ("default", 5, "scheduled"),
    ]
    assert add.AsyncResult("seven").status == "PENDING"


def test_keys_of_rows_are_unique_too(link: Link) -> None:
    def rows(*keys: str) -> list[Call]:
        return [Call((1, 2), options={"unique_key": key}) for key in keys]

    first = add.enqueue_many(rows("b", "a", "b"))
    assert first[0] == first[2] != first[1]
    assert add.enqueue_many(rows("a", "c"))[0] == first[1]
    with transaction.atomic(), pytest.raises(DuplicateJob):
        add.enqueue_many([*rows("d"), Call((1, 2), options={"unique_key": "a", "on_conflict": "raise"})])
    assert sorted(Job.objects.values_list("unique_key", flat=True)) == ["a", "b", "c"]


@pytest.fixture
def published() -> Iterator[list[str]]:
    seen: list[str] = []

    def note(sender: str, headers: dict, **_: object) -> None:
        headers["trace"] = "abc"
        seen.append(sender)

    signals.before_task_publish.connect(note)
    yield seen
    signals.before_task_publish.disconnect(note)


def test_instrumentation_sees_every_row(link: Link, published: list[str]) -> None:
    ids = add.enqueue_many([(1, 2), (3, 4)])
    assert published == [add.name] * 2
    assert '"trace": "abc"' in (row(ids[1]).options or "")


def test_under_an_event_loop_they_are_committed_at_once(link: Link) -> None:
    async def produce() -> list[str]:
        return add.enqueue_many([(1, 2), (3, 4)])

    assert len(asyncio.run(produce())) == 2
    assert Job.objects.count() == 2


def test_jobs_beyond_one_statement_s_share_are_all_written(link: Link) -> None:
    jobs = [NewJob(task="t", delay=60 if n % 2 else None) for n in range(CHUNK + 1)]
    with CaptureQueriesContext(connection) as captured:
        ids = enqueue_all(jobs)
    assert len(captured) <= 6, "two for the jobs, the queue's facts, a wake-up, and the transaction"
    assert ids == [job.id for job in jobs]
    assert Job.objects.count() == CHUNK + 1


def test_one_invalid_job_of_several_writes_none(link: Link) -> None:
    with pytest.raises(InvalidJob, match="Priority 101"):
        enqueue_all([NewJob(task="t"), NewJob(task="t", priority=101)])
    assert not Job.objects.exists()


CALLS = {
    "one": lambda: add.apply_async((1, 2), queue="small"),
    "several": lambda: enqueue_all([NewJob(task="t", queue="small"), NewJob(task="t")]),
    "many": lambda: add.enqueue_many([(1, 2)], queue="small"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_full_queue_refuses_and_the_transaction_goes_on(link: Link, call) -> None:
    Queue.objects.create(name="small", max_size=2)
    enqueue(NewJob(task="t", queue="small"))
    call()
    with transaction.atomic():
        with pytest.raises(QueueFull, match="'small' is full: 2 jobs wait already"):
            call()
        add.delay(1, 2)
    assert Job.objects.filter(queue="small").count() == 2


def test_more_rows_than_fit_are_refused_as_a_whole(link: Link) -> None:
    Queue.objects.create(name="small", max_size=2)
    with pytest.raises(QueueFull):
        add.enqueue_many([(1, 2)] * 3, queue="small")
    assert not Job.objects.exists()


def test_what_runs_or_waits_for_its_time_takes_no_room(link: Link) -> None:
    Queue.objects.create(name="small", max_size=1)
    add.apply_async((1, 2), queue="small", countdown=60)
    first = enqueue(NewJob(task="tests.support.tasks.noop", queue="small"))
    run(link, first)
    enqueue(NewJob(task="t", queue="small"))


def test_a_cap_lifted_by_an_operator_counts_at_once(link: Link) -> None:
    lane = Queue.objects.create(name="small", max_size=0)
    with pytest.raises(QueueFull):
        add.apply_async((1, 2), queue="small")
    lane.max_size = None
    lane.save()
    add.apply_async((1, 2), queue="small")
