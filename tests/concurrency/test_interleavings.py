"""Two or three calls about one job at the same moment end as if one had come after the other.

The first has done its work and not committed; the others run until they are through or wait for its lock; then it
commits. Whatever order that makes, it must be one of the orders without any overlap.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import permutations, product
from typing import Any

import pytest
from django.db import connection, transaction

from jobs.engine.link import Link
from jobs.models import Attempt, Chord, Job, Lease
from tests.support.engine import empty_tables, hasten, opened
from tests.support.situations import (
    Case,
    Op,
    another_member_failed,
    body_failed_with_its_member,
    cancelled,
    cancelled_body,
    claim,
    counted,
    dispatched,
    dispatched_with_a_key,
    enqueued,
    expire,
    finish,
    flush,
    give_back,
    holds_a_key,
    judged,
    last_member_runs,
    late,
    lost,
    one_behind_another_with_its_key,
    over,
    pending,
    progress,
    promote,
    replaced,
    requeued,
    retry,
    returned,
    running,
    runs_with_a_key,
    start,
    take,
    two_carried,
    two_carried_with_a_key,
    two_dispatched,
    unwanted,
    waiting_and_late,
)
from tests.support.wait import wait_until

SKIPPERS = {claim, promote, expire}
"""They pass over a row that somebody has locked: the next round finds it."""
OF_WORKER = [start, progress, finish, retry, lost, cancelled]
SITUATIONS: dict[Callable[[Link], Case], list[Op]] = {
    pending: [claim, cancelled, requeued, expire, enqueued],
    late: [claim, cancelled, expire, requeued, enqueued],
    waiting_and_late: [promote, expire, cancelled, claim, requeued],
    dispatched: [take, returned, lost, cancelled],
    two_dispatched: [take, returned, cancelled, claim],
    running: [*OF_WORKER, take, enqueued],
    two_carried: [start, retry, lost, cancelled, flush, give_back],
    unwanted: [retry, lost, cancelled, enqueued],
    holds_a_key: [claim, replaced, cancelled],
    runs_with_a_key: [retry, lost, finish, replaced, cancelled],
    dispatched_with_a_key: [take, returned, replaced, cancelled],
    two_carried_with_a_key: [give_back, flush, lost, replaced],
    one_behind_another_with_its_key: [finish, lost, replaced, judged],
    last_member_runs: [counted, lost, cancelled, cancelled_body, judged],
    another_member_failed: [counted, requeued, cancelled_body, judged],
    body_failed_with_its_member: [counted, requeued, judged],
    over: [requeued, enqueued, cancelled, claim],
}
PAIRS = [(at, pair) for at, ops in SITUATIONS.items() for pair in product(ops, repeat=2)]
TRIPLES = [
    *((pending, three) for three in permutations([claim, cancelled, enqueued])),
    *((waiting_and_late, three) for three in permutations([promote, expire, cancelled])),
    *((dispatched, three) for three in permutations([take, returned, cancelled])),
    *((two_dispatched, three) for three in permutations([take, take, returned])),
    *((running, three) for three in permutations([finish, lost, cancelled])),
    *((running, three) for three in permutations([retry, lost, enqueued])),
    *((two_carried, three) for three in permutations([flush, lost, cancelled])),
    *((two_carried, three) for three in permutations([give_back, finish, lost])),
    *((runs_with_a_key, three) for three in permutations([finish, replaced, cancelled])),
    *((runs_with_a_key, three) for three in permutations([retry, replaced, lost])),
    *((holds_a_key, three) for three in permutations([claim, replaced, cancelled])),
    *((last_member_runs, three) for three in permutations([counted, cancelled_body, judged])),
    *((another_member_failed, three) for three in permutations([counted, requeued, cancelled_body])),
    *((another_member_failed, three) for three in permutations([counted, requeued, judged])),
    *((over, three) for three in permutations([requeued, enqueued, cancelled])),
]


def named(value: Any) -> str:
    return "-".join(op.__name__ for op in value) if isinstance(value, tuple) else value.__name__


@pytest.fixture(scope="module")
def db(django_db_setup: None, django_db_blocker: Any) -> Iterator[Link]:
    """In place of pytest-django's: one connection for all, emptied by hand."""
    with django_db_blocker.unblock(), opened(lock_timeout=10.0) as link:
        hasten(link)
        yield link


@pytest.fixture
def link(db: Link) -> Iterator[Link]:
    yield db
    empty_tables(db)


class Other:
    """A thread with connections of its own."""

    def __init__(self) -> None:
        self.link = Link("jobs tests other", lock_timeout=10.0)
        self.pool = ThreadPoolExecutor(1)
        self.pool.submit(hasten, self.link).result(10)

    def begin(self, op: Op, case: Case) -> Future:
        return self.pool.submit(op, self.link, case)

    def close(self) -> None:
        self.pool.submit(lambda: connection.close()).result(10)
        self.pool.shutdown()
        self.link.close()


@pytest.fixture(scope="module")
def eye(db: Link) -> Iterator[Link]:
    with opened() as eye:
        yield eye


@pytest.fixture(scope="module")
def others(db: Link) -> Iterator[list[Other]]:
    made = [Other(), Other()]
    yield made
    for other in made:
        other.close()


def waiting(eye: Link) -> int:
    found = eye._open().execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock' AND cardinality(pg_blocking_pids(pid)) > 0"
    )
    return found.fetchone()[0]


def overlapping(at: Callable[[Link], Case], ops: tuple[Op, ...], link: Link, others: list[Other], eye: Link) -> Any:
    """The answers and what is left when the first commits while the others have begun."""
    case = at(link)
    begun: list[Future] = []
    with transaction.atomic(), link.transaction():
        answers = [ops[0](link, case)]
        for op, other in zip(ops[1:], others, strict=False):
            begun.append(other.begin(op, case))
            wait_until(
                lambda: all(f.done() for f in begun) or waiting(eye) >= sum(not f.done() for f in begun),
                within=10,
                what="the others are through or wait for a lock",
            )
    answers += [future.result(15) for future in begun]
    return answers, left(case)


def in_order(at: Callable[[Link], Case], ops: tuple[Op, ...], order: tuple[int, ...], link: Link) -> Any:
    """The same calls, each committed before the next; one that is not in the order found nothing to do."""
    empty_tables(link)
    case = at(link)
    answers: list[Any] = [0] * len(ops)
    for place in order:
        answers[place] = ops[place](link, case)
    return answers, left(case)


def left(case: Case) -> Any:
    """All that the calls decide, without ids and times."""
    jobs = [
        (
            *(
                job.state,
                job.epoch,
                job.attempt,
                job.retries,
                job.strikes,
                {None: "-", case.token: "old"}.get(job.lease, "new"),
            ),
            *(job.cancel_requested_at is not None, job.finished_at is not None, job.run_at is not None),
            *(job.unique_key, job.after is not None, job.args, "chord_error" in (job.options or "")),
        )
        for job in sorted(Job.objects.filter(pk__in=case.jobs), key=lambda job: case.jobs.index(job.pk))
    ]
    attempts = sorted((case.jobs.index(a.job_id), a.epoch, a.number, a.end) for a in Attempt.objects.all())
    leases = sorted((lease.token == case.token, lease.won_at is not None) for lease in Lease.objects.all())
    others = sorted(Job.objects.exclude(pk__in=case.jobs).values_list("state", "unique_key"), key=str)
    return jobs, attempts, leases, others, list(Chord.objects.values_list("done", flat=True))


@pytest.mark.parametrize(("at", "ops"), [*PAIRS, *TRIPLES], ids=named)
def test_calls_that_overlap_end_as_if_one_came_after_the_other(
    link: Link, others: list[Other], eye: Link, at: Callable[[Link], Case], ops: tuple[Op, ...]
) -> None:
    got = overlapping(at, ops, link, others, eye)
    legal = [in_order(at, ops, order, link) for order in permutations(range(len(ops)))]
    skippers = [place for place, op in enumerate(ops) if place and op in SKIPPERS]
    for skipper in skippers:
        rest = [place for place in range(len(ops)) if place != skipper]
        legal += [in_order(at, ops, order, link) for order in permutations(rest)]
    assert got in legal
