"""Racing producers of one key get one job; whoever can't wait is told so and keeps his transaction."""

import threading
from uuid import UUID

import pytest
from django.db import transaction

from jobs.engine import requeue
from jobs.engine.link import Link
from jobs.errors import UniqueBusy
from jobs.explain import why_it_stays
from jobs.models import Job
from jobs.states import State
from tests.support.engine import opened
from tests.support.rows import make_job, state_of
from tests.support.tasks import add, noop
from tests.support.threads import together
from tests.support.wait import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def call(key: str, on_conflict: str = "existing") -> UUID:
    return UUID(add.apply_async((1, 2), unique_key=key, on_conflict=on_conflict).id)


def test_racing_producers_get_one_job_and_everyone_its_id(link: Link) -> None:
    def produce() -> list[UUID]:
        return [call(f"key {n}") for n in range(20)]

    given = together(produce, produce, produce, produce)
    assert len({tuple(ids) for ids in given}) == 1
    assert Job.objects.count() == 20


def test_racing_replacements_leave_one_live_job(link: Link) -> None:
    def produce() -> list[UUID]:
        return [call("key", "replace") for _ in range(10)]

    together(produce, produce, produce)
    assert Job.objects.exclude(state=State.CANCELLED).count() == 1
    assert Job.objects.count() == 30


def test_a_call_waits_for_the_transaction_that_took_the_key(link: Link) -> None:
    taken, done = threading.Event(), threading.Event()

    def first() -> UUID:
        with transaction.atomic():
            job_id = call("key")
            taken.set()
            waits_for_lock()
        done.set()
        return job_id

    def second() -> UUID:
        assert taken.wait(10)
        job_id = call("key")
        assert done.wait(10)
        return job_id

    assert len(set(together(first, second))) == 1


def test_a_key_given_up_by_a_rollback_is_taken_by_the_one_that_waited(link: Link) -> None:
    taken = threading.Event()

    def first() -> None:
        with transaction.atomic():
            call("key")
            taken.set()
            waits_for_lock()
            transaction.set_rollback(True)

    def second() -> UUID:
        assert taken.wait(10)
        return call("key")

    assert together(first, second)[1] == Job.objects.get().pk


def test_who_waits_too_long_is_told_so_and_keeps_his_transaction(link: Link) -> None:
    taken, refused = threading.Event(), threading.Event()

    def first() -> None:
        with transaction.atomic():
            call("key")
            taken.set()
            assert refused.wait(20)

    def second() -> None:
        assert taken.wait(10)
        with transaction.atomic():
            noop.delay()
            with pytest.raises(UniqueBusy, match="waited 2 s"):
                call("key")
            refused.set()
            noop.delay()

    together(first, second)
    assert Job.objects.count() == 3


def test_opposite_orders_abort_nobody_without_a_clear_error(link: Link) -> None:
    meet = threading.Barrier(2)

    def produce(*keys: str) -> str:
        said = "both"
        with transaction.atomic():
            call(keys[0])
            meet.wait(10)
            try:
                call(keys[1])
            except UniqueBusy as error:
                said = str(error)
            noop.delay()
        return said

    said = together(lambda: produce("a", "b"), lambda: produce("b", "a"))
    assert sorted(text == "both" for text in said) in ([False, True], [False, False])
    assert all(text == "both" or "Try again" in text for text in said)
    assert Job.objects.filter(task=noop.name).count() == 2
    assert sorted(Job.objects.filter(task=add.name).values_list("unique_key", flat=True)) == ["a", "b"]


def waits_for_lock() -> None:
    """Until another connection to this database waits for a lock; looked at from outside the open transaction."""
    with opened() as link:
        wait_until(lambda: link._open().execute(WAITS).fetchone()[0], what="a connection that waits for a lock")


WAITS = """
    SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())
"""


def dead(key: str) -> UUID:
    return make_job(state="dead_letter", given_key=key)


def test_a_requeue_waits_for_a_call_that_is_taking_its_key_and_then_stays(link: Link) -> None:
    job_id, taken = dead("key"), threading.Event()

    def produce() -> None:
        with transaction.atomic():
            call("key")
            taken.set()
            waits_for_lock()

    def again() -> list[UUID]:
        assert taken.wait(10)
        return requeue([job_id, free], actor="ada")

    free = dead("other")
    assert together(produce, again)[1] == [free]
    assert why_it_stays(job_id).code == "duplicate_job"


def test_a_requeue_that_waits_too_long_moves_the_others_and_keeps_its_transaction(link: Link) -> None:
    job_id, free = dead("key"), dead("other")
    taken, over = threading.Event(), threading.Event()

    def produce() -> None:
        with transaction.atomic():
            call("key")
            taken.set()
            assert over.wait(20)

    def again() -> list[UUID]:
        assert taken.wait(10)
        with transaction.atomic():
            moved = requeue([job_id, free], actor="ada")
            assert why_it_stays(job_id).code == "unique_key_busy"
            over.set()
            noop.delay()
        return moved

    assert together(produce, again)[1] == [free]
    assert state_of(job_id) == State.DEAD_LETTER
    assert Job.objects.filter(task=noop.name).count() == 1


def test_a_call_waits_for_a_requeue_that_takes_its_key(link: Link) -> None:
    job_id, taken = dead("key"), threading.Event()

    def again() -> None:
        with transaction.atomic():
            assert requeue([job_id], actor="ada") == [job_id]
            taken.set()
            waits_for_lock()

    def produce() -> UUID:
        assert taken.wait(10)
        return call("key")

    assert together(again, produce)[1] == job_id


def test_racing_requeues_and_calls_leave_one_live_job_a_key(link: Link) -> None:
    ids = [dead(f"key {n % 5}") for n in range(40)]

    def again() -> None:
        for job_id in ids:
            requeue([job_id], actor="ada")

    def all_at_once() -> None:
        requeue(ids[::-1], actor="ada")

    def produce() -> None:
        for n in range(5):
            call(f"key {n}")

    together(again, all_at_once, produce, produce)
    live = Job.objects.filter(state=State.PENDING).values_list("unique_key", flat=True)
    assert sorted(live) == [f"key {n}" for n in range(5)]
