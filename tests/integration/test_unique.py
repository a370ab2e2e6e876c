"""At most one job of a task holds a unique key, and every call says what becomes of it."""

from datetime import timedelta
from uuid import UUID

import pytest
from celery import chain, group, shared_task
from django.db import connection, transaction

from jobs.app.many import Call
from jobs.conf import jobs_settings
from jobs.engine import cancel, requeue
from jobs.engine.link import Link
from jobs.engine.maintenance import Sweeper
from jobs.engine.newjob import job_key
from jobs.errors import DuplicateJob, InvalidJob, QueueFull
from jobs.models import AuditEntry, Job, Queue
from jobs.states import State
from tests.support.engine import drain, lease, row, run, won
from tests.support.statements import lost
from tests.support.tasks import add, fail, noop


def call(on_conflict: str | None = None, **options) -> UUID:
    given = {"unique_key": "order-7", **options}
    return UUID(add.apply_async((1, 2), **given, **({"on_conflict": on_conflict} if on_conflict else {})).id)


def age(job_id: UUID, **ago: float) -> None:
    """As if the job's hold had begun so long ago."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_job SET unique_until = unique_until - %s WHERE id = %s", [timedelta(**ago), job_id])


def sweep(link: Link) -> None:
    Sweeper(link, jobs_settings()).sweep()


def test_a_second_call_gets_the_id_of_the_first(link: Link) -> None:
    first = call()
    assert call() == first
    assert Job.objects.count() == 1


@pytest.mark.parametrize("other", [{"unique_key": "order-8"}, {"unique_key": None}])
def test_other_keys_and_none_stand_beside_it(link: Link, other: dict) -> None:
    assert call() != call(**other)


def test_keys_belong_to_a_task(link: Link) -> None:
    call()
    noop.apply_async(unique_key="order-7")
    assert Job.objects.count() == 2


def test_raise_names_the_holder_and_leaves_the_transaction_usable(link: Link) -> None:
    first = call()
    with transaction.atomic():
        with pytest.raises(DuplicateJob, match=str(first)) as caught:
            call("raise")
        assert caught.value.job_id == first
        noop.delay()
    assert Job.objects.count() == 2


def test_replace_ends_a_waiting_job_and_takes_its_place(link: Link) -> None:
    first = call(countdown=60)
    second = call("replace")
    assert (row(first).state, row(first).unique_key) == (State.CANCELLED, None)
    assert (row(second).state, row(second).unique_key) == (State.PENDING, "order-7")
    assert AuditEntry.objects.get().detail == {"reason": "replaced by another job with its unique key"}


def test_replace_takes_back_a_job_that_is_in_the_broker(link: Link) -> None:
    first = call()
    lease(link, [first])
    second = call("replace")
    assert (row(first).state, row(second).state) == (State.CANCELLED, State.PENDING)


def test_replace_of_a_running_job_asks_it_to_stop_and_runs_after_it(link: Link) -> None:
    first = call()
    token = won(link, [first])
    second = call("replace")
    assert row(first).cancel_requested_at is not None
    assert (row(second).state, row(second).after) == (State.BLOCKED, first)
    sweep(link)
    assert row(second).state == State.BLOCKED, "while the other runs"
    lost(link, token, begun=1, strike=False)
    assert row(first).state == State.CANCELLED
    sweep(link)
    assert (row(second).state, row(second).after) == (State.PENDING, None)
    run(link, second)
    assert row(second).state == State.COMPLETED


def test_a_third_call_replaces_the_one_that_waits_for_the_running_job(link: Link) -> None:
    first = call()
    won(link, [first])
    second, third = call("replace"), call("replace")
    assert row(second).state == State.CANCELLED
    assert (row(third).state, row(third).after) == (State.BLOCKED, first)


def test_the_end_of_the_job_frees_its_key(link: Link) -> None:
    first = call()
    run(link, first)
    assert row(first).unique_key is None
    assert call() != first


def test_a_retry_keeps_the_key(link: Link) -> None:
    first = UUID(fail.apply_async(unique_key="k", max_retries=3).id)
    run(link, first)
    assert row(first).state == State.RETRYING
    assert UUID(fail.apply_async(unique_key="k").id) == first


def test_cancelling_frees_the_key(link: Link) -> None:
    first = call(unique_for=60)
    cancel([first], actor="ada")
    assert call() != first


def test_unique_for_holds_the_key_beyond_the_end_of_the_job(link: Link) -> None:
    first = call(unique_for=60)
    run(link, first)
    assert call() == first
    age(first, seconds=61)
    assert call() != first, "the call itself sees that the hold is over"
    assert row(first).unique_key is None


def test_a_live_job_holds_its_key_longer_than_unique_for(link: Link) -> None:
    first = call(unique_for=1)
    age(first, seconds=2)
    assert call() == first


def test_replace_ends_the_hold_of_a_finished_job(link: Link) -> None:
    first = call(unique_for=60)
    run(link, first)
    second = call("replace")
    assert second != first
    assert row(first).state == State.COMPLETED
    assert row(second).state == State.PENDING


def test_a_given_task_id_and_a_key_go_together(link: Link) -> None:
    result = add.apply_async((1, 2), task_id="seven", unique_key="k")
    assert result.id == "seven"
    assert add.apply_async((1, 2), task_id="eight", unique_key="k").id == str(Job.objects.get().pk)
    assert add.apply_async((1, 2), task_id="seven", unique_key="k").id == "seven"


def test_a_key_of_the_arguments(link: Link) -> None:
    ids = {add.apply_async((1, 2), unique_key=True).id for _ in range(2)}
    ids |= {add.apply_async((1,), {"y": 2}, unique_key=True).id, add.apply_async((1, 3), unique_key=True).id}
    assert len(ids) == 3
    same = {add.apply_async((given, 0), unique_key=True).id for given in ({"a": 1, "b": 2}, {"b": 2, "a": 1})}
    assert len(same) == 1


@shared_task(unique_key=lambda order, **_: order, unique_for=30, on_conflict="raise")
def ship(order, carrier="post"):
    return None


def test_a_task_declares_the_key_of_all_its_calls(link: Link) -> None:
    ship.delay("7")
    ship.s("8").delay()
    with pytest.raises(DuplicateJob):
        ship.delay("7", carrier="other")
    assert ship.apply_async(("7",), on_conflict="existing").id == str(Job.objects.get(unique_key="7").pk)
    assert Job.objects.filter(unique_until__isnull=False).count() == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"unique_key": 1.5}, "pass a text"),
        ({"unique_key": ""}, "pass a text"),
        ({"unique_key": "x" * 501}, "at most 500"),
        ({"unique_key": "a\x00"}, "NUL"),
        ({"unique_key": "k", "on_conflict": "ignore"}, "existing, replace, raise"),
        ({"unique_key": "k", "unique_for": "soon"}, "seconds"),
        ({"unique_for": 60}, "without a unique_key"),
        ({"on_conflict": "raise"}, "without a unique_key"),
    ],
)
def test_nonsense_is_refused_before_anything_is_written(link: Link, options: dict, said: str) -> None:
    with pytest.raises(InvalidJob, match=said):
        add.apply_async((1, 2), **options)
    assert not Job.objects.exists()


def test_the_caller_s_own_patience_is_as_before(link: Link) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '7s'")
        call()
        call()
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("7s",)


def test_a_replacement_with_a_delay_waits_for_both(link: Link) -> None:
    first = call()
    token = won(link, [first])
    second = call("replace", countdown=60)
    assert row(second).state == State.BLOCKED
    lost(link, token, begun=1, strike=False)
    sweep(link)
    assert row(second).state == State.SCHEDULED
    assert row(second).run_at is not None


def test_the_later_steps_of_a_replaced_chain_are_ended(link: Link) -> None:
    result = chain(add.s(1, 2).set(unique_key="k"), add.s(3)).apply_async()
    add.apply_async((1, 2), unique_key="k", on_conflict="replace")
    assert row(UUID(result.id)).state == State.FAILED


@pytest.mark.parametrize("place", range(3))
def test_a_step_of_a_chain_for_which_another_job_stands_ends_its_chain_in_sight(link: Link, place: int) -> None:
    holder = call(countdown=60)
    steps = [add.s(1, 2), add.s(3), add.s(4)]
    steps[place].set(unique_key="order-7")
    last = chain(*steps).apply_async()
    drain(link)
    results = [last.parent.parent, last.parent, last]
    ends = [row(UUID(result.id)).state for result in results]
    assert ends == [State.COMPLETED] * place + [State.CANCELLED] + [State.FAILED] * (2 - place)
    assert str(holder) in AuditEntry.objects.get(resource_id=results[place].id).detail["reason"]


def test_a_step_that_another_job_stood_for_may_be_requeued_and_its_chain_goes_on(link: Link) -> None:
    holder = call(countdown=60)
    last = chain(add.s(1, 2).set(unique_key="order-7"), add.s(3)).apply_async()
    cancel([holder], actor="ann")
    requeue([UUID(last.parent.id)], actor="ann")
    drain(link)
    assert last.get(timeout=1) == 6


def test_a_callback_for_which_another_job_stands_leaves_nothing(link: Link) -> None:
    call(countdown=60)
    run(link, UUID(noop.apply_async(link=add.si(1, 2).set(unique_key="order-7")).id))
    assert Job.objects.count() == 2


def test_a_queue_of_a_transaction_that_was_rolled_back_is_forgotten(link: Link) -> None:
    with transaction.atomic():
        Queue.objects.create(name="small", max_size=0)
        with pytest.raises(QueueFull):
            call(queue="small")
        transaction.set_rollback(True)
    call(queue="small")


def test_a_member_of_a_group_that_joins_another_job_has_its_result(link: Link) -> None:
    first = call()
    result = group(add.s(1, 2).set(unique_key="order-7"), add.s(3, 4)).apply_async()
    assert result.results[0].id == str(first)
    run(link, first, UUID(result.results[1].id))
    assert result.get(timeout=5) == [3, 7]


def test_a_call_that_replaces_one_behind_a_job_that_is_over_waits_for_nobody(link: Link) -> None:
    first = call()
    token = won(link, [first])
    second = call("replace")
    lost(link, token, begun=1, strike=False)
    third = call("replace")
    assert (row(second).state, row(third).state) == (State.CANCELLED, State.PENDING)


def test_a_job_never_waits_for_itself_because_it_took_its_own_key_back(link: Link) -> None:
    first = call()
    token = won(link, [first])
    call("replace")
    lost(link, token, begun=1, strike=False)
    assert call("replace", task_id=str(first)) == first
    assert (row(first).state, row(first).after) == (State.PENDING, None)


def test_a_last_loss_keeps_a_key_that_is_held_longer_as_a_failure_does(link: Link) -> None:
    first = call(unique_for=60, on_lost="dead_letter")
    won_by = won(link, [first])
    lost(link, won_by, begun=1)
    assert (row(first).state, call()) == (State.DEAD_LETTER, first)


def test_a_full_queue_refuses_no_call_that_only_gets_the_id_of_a_job_that_is_there(link: Link) -> None:
    first = call(queue="small")
    named = add.apply_async((1, 2), queue="small", task_id="report").id
    Queue.objects.create(name="small", max_size=2)
    assert call(queue="small") == first
    assert add.apply_async((3, 4), queue="small", task_id="report").id == named
    with pytest.raises(DuplicateJob):
        call("raise", queue="small")
    for full in ({"unique_key": "another"}, {"unique_key": None}, {"on_conflict": "replace"}):
        with pytest.raises(QueueFull):
            call(queue="small", **full)
    run(link, first)
    run(link, job_key(named))
    noop.apply_async(queue="small")
    noop.apply_async(queue="small")
    for over in ({}, {"unique_key": None, "task_id": "report"}):
        with pytest.raises(QueueFull):
            call(queue="small", **over)
    assert Job.objects.count() == 4


def test_calls_with_one_key_count_once_against_a_full_queue(link: Link) -> None:
    Queue.objects.create(name="small", max_size=2)
    twice = [Call((1, 2), {}, {"unique_key": key}) for key in ("a", "a", "b")]
    ids = add.enqueue_many(twice, queue="small")
    assert ids[0] == ids[1] != ids[2]
    assert add.enqueue_many(twice, queue="small") == ids
    with pytest.raises(QueueFull):
        add.enqueue_many([*twice, Call((1, 2))], queue="small")


def test_a_finished_job_that_still_holds_its_key_is_joined_by_calls_to_a_full_queue(link: Link) -> None:
    first = call(queue="small", unique_for=60)
    run(link, first)
    Queue.objects.create(name="small", max_size=0)
    assert call(queue="small") == first
    age(first, hours=1)
    with pytest.raises(QueueFull):
        call(queue="small")
