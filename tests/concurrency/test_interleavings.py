"""Two or three calls about one job at the same moment end as if one had come after the other.

The first has done its work and not committed; the others run until they are through or wait for its lock; then it
commits. Whatever order that makes, it must be one of the orders without any overlap.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import permutations, product
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from kombu.utils.json import dumps

from jobs.conf import jobs_settings
from jobs.engine import cancel, requeue
from jobs.engine.chords import RESULTS
from jobs.engine.dispatch import front
from jobs.engine.enqueue import NewJob, enqueue
from jobs.engine.finish import columns_of
from jobs.engine.finish import finish as finish_and_follow
from jobs.engine.link import Link
from jobs.engine.maintenance import lose
from jobs.models import Attempt, Chord, Job, Lease
from jobs.states import End, State
from tests.support.engine import NODE, empty_tables, hasten, lease, new_job, opened, outcome, sweep_chords, won
from tests.support.rows import make_job, make_worker
from tests.support.wait import wait_until

NOW = datetime.now(UTC)
PAST = NOW - timedelta(hours=1)


@dataclass(frozen=True)
class Case:
    """Jobs in one situation, the lease that holds them, if any, and a boot that may win it."""

    jobs: list[UUID]
    token: UUID
    boot: UUID


Op = Callable[[Link, Case], Any]


def claim(link: Link, case: Case) -> int:
    with link.transaction():
        ids = [found.id for found in front(link, "default", limit=5)]
        tokens = [uuid4()] * len(ids)
        return len(link.rows("dispatch", queue="default", routing_key="x", ids=ids, tokens=tokens))


def take(link: Link, case: Case) -> int:
    return len(link.rows("win", token=case.token, worker=case.boot, node=NODE, receipt=uuid4()))


def start(link: Link, case: Case) -> None:
    link.rows("start", id=case.jobs[0], token=case.token, started_at=NOW, node=NODE)


def progress(link: Link, case: Case) -> None:
    link.rows("progress", id=case.jobs[0], token=case.token, started_at=NOW, node=NODE, progress="1")


def finish(link: Link, case: Case) -> int:
    batch = [outcome(job) for job in reversed(case.jobs)]
    return len(link.rows("finish", **columns_of(batch, token=case.token, node=NODE, done=True)))


def flush(link: Link, case: Case) -> int:
    batch = [outcome(case.jobs[-1])]
    return len(link.rows("finish", **columns_of(batch, token=case.token, node=NODE, done=False)))


def retry(link: Link, case: Case) -> int:
    batch = [outcome(job, state=State.RETRYING, end=End.RETRIED, spent=1) for job in case.jobs]
    return len(link.rows("finish", **columns_of(batch, token=case.token, node=NODE, done=True)))


def give_back(link: Link, case: Case) -> int:
    return len(link.rows("give_back", ids=case.jobs, token=case.token))


def lost(link: Link, case: Case) -> tuple[int, int, int]:
    return lose(link, case.token, jobs_settings(), won=True, begun=None, reason="gone")


def returned(link: Link, case: Case) -> tuple[int, int, int]:
    return lose(link, case.token, jobs_settings(), won=False, begun=None, reason="late")


def cancelled(link: Link, case: Case) -> tuple[int, int]:
    done = cancel(case.jobs[:1], actor="ada")
    return len(done.now), len(done.asked)


def requeued(link: Link, case: Case) -> int:
    return len(requeue(case.jobs, actor="ada"))


def enqueued(link: Link, case: Case) -> None:
    enqueue(NewJob(task="t", id=case.jobs[0]))


def replaced(link: Link, case: Case) -> None:
    enqueue(NewJob(task="t", unique_key="k", on_conflict="replace"))


def counted(link: Link, case: Case) -> int:
    """Its member completes, and with it perhaps the chord."""
    batch = [outcome(case.jobs[0], result="1", in_chord=True)]
    return len(finish_and_follow(link, batch, token=case.token, node=NODE, done=True))


def cancelled_body(link: Link, case: Case) -> tuple[int, int]:
    done = cancel(case.jobs[-1:], actor="ada")
    return len(done.now), len(done.asked)


def judged(link: Link, case: Case) -> None:
    sweep_chords(link)


def promote(link: Link, case: Case) -> int:
    return len(link.rows("promote", limit=10, aging_us=1))


def expire(link: Link, case: Case) -> int:
    return len(link.rows("expire", limit=10))


def pending(link: Link) -> Case:
    return Case([new_job()], uuid4(), make_worker())


def late(link: Link) -> Case:
    return Case([make_job(expires_at=PAST)], uuid4(), make_worker())


def waiting_and_late(link: Link) -> Case:
    job = make_job(state="retrying", run_at=PAST, expires_at=PAST, attempt=1, retries=1)
    return Case([job], uuid4(), make_worker())


def dispatched(link: Link) -> Case:
    jobs = [new_job()]
    return Case(jobs, lease(link, jobs), make_worker())


def two_dispatched(link: Link) -> Case:
    jobs = [new_job(), new_job()]
    return Case(jobs, lease(link, jobs), make_worker())


def running(link: Link) -> Case:
    jobs = [new_job()]
    return Case(jobs, won(link, jobs, worker=(boot := make_worker())), boot)


def two_carried(link: Link) -> Case:
    jobs = [new_job(), new_job()]
    return Case(jobs, won(link, jobs, worker=(boot := make_worker())), boot)


def unwanted(link: Link) -> Case:
    case = running(link)
    cancelled(link, case)
    return case


def holds_a_key(link: Link) -> Case:
    return Case([new_job(task="t", unique_key="k")], uuid4(), make_worker())


def runs_with_a_key(link: Link) -> Case:
    jobs = holds_a_key(link).jobs
    return Case(jobs, won(link, jobs, worker=(boot := make_worker())), boot)


def dispatched_with_a_key(link: Link) -> Case:
    jobs = holds_a_key(link).jobs
    return Case(jobs, lease(link, jobs), make_worker())


def two_carried_with_a_key(link: Link) -> Case:
    jobs = [*holds_a_key(link).jobs, new_job()]
    return Case(jobs, won(link, jobs, worker=(boot := make_worker())), boot)


def one_behind_another_with_its_key(link: Link) -> Case:
    case = runs_with_a_key(link)
    replaced(link, case)
    return case


def last_member_runs(link: Link, *others: str, body: str = "blocked") -> Case:
    """A chord whose first member runs, the others ended, and its body."""
    chord, first = uuid4(), make_job(chord=(id_ := uuid4()))
    members = [first, *(make_job(state=state, chord=id_) for state in others)]
    link.rows("add_chord", id=id_, size=len(members), members=dumps([str(member) for member in members]))
    jobs = [*members, make_job(id=chord, state=body, after=id_, args=[RESULTS])]
    return Case(jobs, won(link, jobs[:1], worker=(boot := make_worker())), boot)


def another_member_failed(link: Link) -> Case:
    return last_member_runs(link, "dead_letter")


def body_failed_with_its_member(link: Link) -> Case:
    return last_member_runs(link, "dead_letter", body="dead_letter")


def over(link: Link) -> Case:
    return Case([make_job(state="dead_letter", attempt=1)], uuid4(), make_worker())


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
    holds_a_key: [claim, replaced],
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
