"""Everything the database knows of jobs, read at once, and what must hold in it and between two of it."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from jobs.engine.link import Link
from jobs.states import FINAL, LEASED, TRANSITIONS, State

from .model import Model

BIRTHS = {State.PENDING, State.SCHEDULED, State.BLOCKED}
MOVES = {(source, move.target) for move in TRANSITIONS for source in move.sources}


class Row(NamedTuple):
    id: UUID
    queue: str
    epoch: int
    state: str
    attempt: int
    retries: int
    strikes: int
    lease: UUID | None
    unwanted: bool
    is_due: bool | None
    is_late: bool | None
    is_finished: bool
    rank: int
    rank_is_true: bool


@dataclass
class Snapshot:
    jobs: dict[UUID, Row]
    leases: dict[UUID, tuple[str, list[UUID], UUID | None]]
    """Routing key, jobs and the boot that won it."""
    attempts: set[tuple[UUID, int, int, str]]


def read(link: Link) -> Snapshot:
    conn = link._open()
    with link.transaction():
        jobs = conn.execute(
            """
            SELECT id, queue, epoch, state, attempt, retries, strikes, lease, cancel_requested_at IS NOT NULL,
                   run_at <= clock_timestamp(), expires_at <= clock_timestamp(), finished_at IS NOT NULL, rank,
                   abs(rank - extract(epoch FROM ready_at) * 1000000 + priority::bigint * 360000000) < 1000000
              FROM jobs_job
            """
        ).fetchall()
        leases = conn.execute("SELECT token, routing_key, job_ids, worker FROM jobs_lease").fetchall()
        attempts = conn.execute('SELECT job_id, epoch, number, "end" FROM jobs_attempt').fetchall()
    return Snapshot({job[0]: Row(*job) for job in jobs}, {lease[0]: lease[1:] for lease in leases}, set(attempts))


def check(now: Snapshot) -> None:
    """What must hold at any moment."""
    for job in now.jobs.values():
        assert (job.lease is not None) == (job.state in LEASED), f"lease without a leased state, or the reverse: {job}"
        assert job.is_finished == (job.state in FINAL), job
        assert job.rank_is_true, f"the rank does not follow from ready_at and priority: {job}"
        assert (job.is_due is not None) == (job.state in (State.SCHEDULED, State.RETRYING)), f"a stray run_at: {job}"
        if job.lease is not None:
            assert job.lease in now.leases, f"nobody can take back a job whose lease is gone: {job}"
            assert job.id in now.leases[job.lease][1], f"its lease does not know it: {job}"
    written = Counter((job_id, epoch) for job_id, epoch, _, _ in now.attempts)
    ends = Counter((a[0], a[1]) for a in now.attempts if a[3] in ("completed", "failed", "cancelled"))
    assert not [life for life, count in ends.items() if count > 1], "two outcomes were accepted for one life of a job"
    for job in now.jobs.values():
        numbers = sorted(number for id_, epoch, number, _ in now.attempts if (id_, epoch) == (job.id, job.epoch))
        assert numbers == list(range(1, len(numbers) + 1)), f"attempts are not numbered from 1 without a gap: {job}"
        assert job.attempt == written[job.id, job.epoch] + (job.lease is not None), (
            f"its attempts are not on file: {job}"
        )


def check_step(before: Snapshot, now: Snapshot) -> None:
    """What must hold between two moments with one call in between."""
    assert before.attempts <= now.attempts, "an attempt was lost or rewritten"
    assert before.jobs.keys() <= now.jobs.keys(), "a job was lost"
    for id_, job in now.jobs.items():
        old = before.jobs.get(id_)
        if old is None:
            assert (job.state, job.epoch) in {(state, 1) for state in BIRTHS}, f"born in an odd state: {job}"
        elif job.epoch != old.epoch:
            assert job.epoch == old.epoch + 1, f"a life was left out: {old} → {job}"
            assert old.state in FINAL, f"a new life before the end of the last: {old} → {job}"
            assert job.state in BIRTHS, f"born in an odd state: {job}"
        else:
            check_life(old, job)


def check_life(old: Row, job: Row) -> None:
    assert job.state == old.state or (old.state, job.state) in MOVES, f"no transition leads there: {old} → {job}"
    assert job.unwanted or not old.unwanted, f"a wish to cancel was forgotten: {old} → {job}"
    assert job.retries >= old.retries, f"a retry was given back: {old} → {job}"
    assert job.strikes >= old.strikes, f"a strike was given back: {old} → {job}"
    if old.state in FINAL:
        assert job._replace(is_late=None) == old._replace(is_late=None), f"a finished job changed: {old} → {job}"
    if old.lease and job.lease:
        assert job.lease == old.lease, f"leased again before it was taken back: {old} → {job}"


def compare(model: Model, now: Snapshot) -> None:
    """The database is exactly what the model says."""
    expected: dict[UUID, tuple[Any, ...]] = {
        id_: (
            job.queue,
            job.epoch,
            str(job.state),
            job.attempt,
            job.retries,
            job.strikes,
            job.lease,
            job.unwanted,
            None if job.run_at is None else job.run_at <= model.now,
            None if job.expires_at is None else job.expires_at <= model.now,
        )
        for id_, job in model.jobs.items()
    }
    assert {id_: row[1:11] for id_, row in now.jobs.items()} == expected
    assert {token: lease[1:] for token, lease in now.leases.items()} == {
        token: (lease.ids, lease.worker) for token, lease in model.leases.items()
    }
    assert now.attempts == model.history
