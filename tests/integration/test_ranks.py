"""The order within a queue: changes of priority, and of a queue's aging by whatever door."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db import connection

from jobs.engine import boost, dispatch, set_priority
from jobs.engine import ranks as module
from jobs.engine.enqueue import enqueue_in
from jobs.engine.link import Link
from jobs.engine.newjob import NewJob
from jobs.engine.ranks import SETTLING, Ranks
from jobs.errors import InvalidJob
from jobs.models import AuditEntry, Job, Queue
from jobs.models.jobs import STRICT_AGING
from jobs.states import WAITING, State
from tests.support.clock import Clock
from tests.support.engine import lease, new_job, opened, row, won
from tests.support.rows import make_job

MINUTE = 60_000_000  # µs
LOST = {"strike": True, "begun": None, "reason": "x", "poison_after": 100, "poison_error": ""}


def rank_of(job_id: UUID, aging_us: int) -> int:
    job = row(job_id)
    since = (job.ready_at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return since - job.priority * aging_us


def front(link: Link, queue: str = "default") -> list[UUID]:
    return [found.id for found in dispatch.front(link, queue, limit=1000)]


def settle(link: Link, clock: Clock | None = None) -> Ranks:
    """Step until every queue is in order, however long that takes by the clock."""
    clock = clock or Clock()
    ranks = Ranks(link, clock=clock)
    for _ in range(10):
        while ranks.step():
            pass
        clock.now += SETTLING
    return ranks


def aged(name: str = "default", aging_us: int = 6 * MINUTE, ranked_us: int | None = 6 * MINUTE) -> Queue:
    return Queue.objects.create(name=name, aging_us=aging_us, ranked_us=ranked_us)


# A change of aging


def test_a_change_of_aging_by_plain_sql_ranks_the_waiting_jobs_anew(link: Link, monkeypatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 3)
    aged()
    now = datetime.now(UTC)
    old, fresh = now - timedelta(hours=3), now
    low = [make_job(priority=0, ready_at=old + timedelta(seconds=n)) for n in range(5)]
    high = [make_job(priority=10, ready_at=fresh + timedelta(seconds=n)) for n in range(5)]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_queue SET ranked_us = NULL")
    settle(link)
    assert front(link) == low + high, "an hour makes up for ten points"
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_queue SET aging_us = %s", [STRICT_AGING])
    settle(link)
    assert front(link) == high + low
    assert Queue.objects.get().ranked_us == STRICT_AGING
    entry = AuditEntry.objects.latest("id")
    assert (entry.actor, entry.action, entry.resource_id) == ("dispatcher", "rerank", "default")
    assert entry.detail == {"aging_us": {"from": 6 * MINUTE, "to": STRICT_AGING}, "jobs": 5}, (
        "priority 0 weighs nothing"
    )


def test_nothing_is_said_of_a_queue_that_was_in_order(link: Link) -> None:
    aged(ranked_us=None)
    new_job()
    settle(link)
    assert Queue.objects.get().ranked_us == 6 * MINUTE
    assert not AuditEntry.objects.exists()


def test_a_walk_at_rest_writes_and_reads_no_job(link: Link, django_assert_num_queries) -> None:
    aged()
    wrong = make_job(rank=5)
    assert Ranks(link).step() is False
    assert row(wrong).rank == 5


def test_a_rank_by_the_aging_before_is_mended_while_its_transaction_is_open(link: Link) -> None:
    clock = Clock()
    queue = aged()
    ranks = Ranks(link, clock=clock)
    with opened("late") as late:
        with late.transaction():
            enqueue_in(late, [NewJob(task="t")])
            Queue.objects.filter(pk=queue.pk).update(aging_us=MINUTE)
            while ranks.step():
                pass
            clock.now += 10 * SETTLING
            assert ranks.step() is False
            clock.now += 10 * SETTLING
            assert ranks.step() is False
            assert Queue.objects.get().ranked_us == 6 * MINUTE, "it waits for the transaction that was open"
        while ranks.step():
            pass
    job = Job.objects.get()
    assert job.rank == rank_of(job.pk, MINUTE)
    assert Queue.objects.get().ranked_us == MINUTE


def test_a_queue_rests_only_when_calls_know_its_new_aging(link: Link) -> None:
    clock = Clock()
    queue = aged()
    ranks = Ranks(link, clock=clock)
    Queue.objects.filter(pk=queue.pk).update(aging_us=MINUTE)
    while ranks.step():
        pass
    late = make_job(rank=7)  # a call whose process read the queue a second ago
    clock.now += SETTLING - 0.1
    assert ranks.step() is False
    assert row(late).rank == 7
    clock.now += 0.2
    while ranks.step():
        pass
    assert row(late).rank == rank_of(late, MINUTE)
    assert Queue.objects.get().ranked_us == MINUTE


def test_a_job_that_somebody_had_locked_is_met_again(link: Link) -> None:
    aged(aging_us=MINUTE)
    locked = make_job(rank=7)
    clock = Clock()
    ranks = Ranks(link, clock=clock)
    with opened("holder") as holder, holder.transaction():
        assert front(holder) == [locked]
        for _ in range(5):
            while ranks.step():
                pass
            clock.now += SETTLING
        assert Queue.objects.get().ranked_us == 6 * MINUTE
    settle(link)
    assert row(locked).rank == rank_of(locked, MINUTE)
    assert Queue.objects.get().ranked_us == MINUTE


def test_a_second_change_on_the_way_is_what_counts(link: Link, monkeypatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 2)
    queue = aged(aging_us=MINUTE)
    ids = [make_job(rank=n) for n in range(5)]
    clock = Clock()
    ranks = Ranks(link, clock=clock)
    assert ranks.step()
    Queue.objects.filter(pk=queue.pk).update(aging_us=2 * MINUTE)
    for _ in range(5):
        while ranks.step():
            pass
        clock.now += SETTLING
    assert [row(id_).rank for id_ in ids] == [rank_of(id_, 2 * MINUTE) for id_ in ids]
    assert Queue.objects.get().ranked_us == 2 * MINUTE


def test_jobs_with_workers_are_ranked_as_they_return(link: Link) -> None:
    queue = aged()
    lost, back = new_job(), new_job()
    first, second = won(link, [lost]), lease(link, [back])
    Queue.objects.filter(pk=queue.pk).update(aging_us=MINUTE)
    settle(link)
    assert row(lost).rank == rank_of(lost, 6 * MINUTE)
    link.rows("lose", worker=None, token=first, won=True, **LOST)
    link.rows("give_back", ids=[back], token=second)
    for id_ in (lost, back):
        assert (row(id_).state, row(id_).rank) == ("pending", rank_of(id_, MINUTE))


# A change of priority


@pytest.mark.parametrize("state", sorted(State))
def test_boost_moves_exactly_the_jobs_that_wait(link: Link, state: State) -> None:
    aged()
    job_id = make_job(state=state, priority=10)
    before = row(job_id).rank
    assert boost([job_id], 50, actor="ada", reason="VIP") == ({job_id: 60} if state in WAITING else {})
    if state not in WAITING:
        assert (row(job_id).priority, row(job_id).rank) == (10, before)
        assert not AuditEntry.objects.exists()
        return
    assert row(job_id).rank == rank_of(job_id, 6 * MINUTE)
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.action, entry.resource_id) == ("ada", "boost", str(job_id))
    assert entry.detail == {"reason": "VIP", "priority": {"from": 10, "to": 60}}


@pytest.mark.parametrize(("points", "becomes"), [(95, 100), (-150, -100), (0, 10)])
def test_a_boost_ends_at_a_hundred(link: Link, points: int, becomes: int) -> None:
    job_id = make_job(priority=10)
    assert boost([job_id], points, actor="ada") == {job_id: becomes}
    assert row(job_id).priority == becomes
    assert AuditEntry.objects.exists() == (becomes != 10)


def test_set_priority_reorders_by_the_queues_own_aging(link: Link) -> None:
    aged("mail", aging_us=MINUTE, ranked_us=MINUTE)
    now = datetime.now(UTC)
    first, second = make_job(queue="mail", ready_at=now), make_job(queue="mail", ready_at=now + timedelta(seconds=30))
    settle(link)
    assert set_priority([second], "high", actor="ada") == {second: 20}
    assert row(second).rank == rank_of(second, MINUTE)
    assert set_priority([first], 19, actor="ada") == {first: 19}
    assert front(link, "mail") == [second, first], "30 s are less than the minute that a point weighs"
    assert set_priority([first], 20, actor="ada") == {first: 20}
    assert front(link, "mail") == [first, second]


@pytest.mark.parametrize("points", [201, -201, 1.5, True, "5"])
def test_a_boost_that_is_none_changes_nothing(link: Link, points: object) -> None:
    job_id = make_job()
    with pytest.raises(InvalidJob, match=r"expected a whole number from -200 to 200"):
        boost([job_id], points, actor="ada")
    with pytest.raises(InvalidJob, match=r"expected -100 to 100"):
        set_priority([job_id], 101, actor="ada")
    assert row(job_id).priority == 10
