"""Everything the database knows of jobs, read at once, and what must hold in it and between two of it."""

import json
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
    priority: int
    key: str | None
    key_is_over: bool | None
    chord: UUID | None
    after: UUID | None
    args: str
    result: str | None
    is_finished: bool
    rank: int
    rank_is_true: bool
    task: str
    options: str | None


@dataclass
class Snapshot:
    jobs: dict[UUID, Row]
    leases: dict[UUID, tuple[str, list[UUID], UUID | None]]
    """Routing key, jobs and the boot that won it."""
    places: dict[UUID, float]
    """What each lease takes of the window."""
    attempts: set[tuple[UUID, int, int, str]]
    chords: dict[UUID, int]
    """How many members of each are done."""


def read(link: Link) -> Snapshot:
    conn = link._open()
    with link.transaction():
        jobs = conn.execute(
            """
            SELECT id, queue, epoch, state, attempt, retries, strikes, lease, cancel_requested_at IS NOT NULL,
                   run_at <= clock_timestamp(), expires_at <= clock_timestamp(), priority, unique_key,
                   CASE WHEN unique_key IS NOT NULL THEN unique_until <= clock_timestamp() END, chord, after, args,
                   result, finished_at IS NOT NULL, rank,
                   abs(rank - extract(epoch FROM ready_at) * 1000000 + priority::bigint * 360000000) < 1000000,
                   task, options
              FROM jobs_job
            """
        ).fetchall()
        leases = conn.execute("SELECT token, routing_key, job_ids, worker, place FROM jobs_lease").fetchall()
        attempts = conn.execute('SELECT job_id, epoch, number, "end" FROM jobs_attempt').fetchall()
        chords = conn.execute("SELECT id, done FROM jobs_chord").fetchall()
    found = {job[0]: Row(*job) for job in jobs}
    places = {lease[0]: lease[4] for lease in leases}
    return Snapshot(found, {lease[0]: lease[1:4] for lease in leases}, places, set(attempts), dict(chords))


def check(now: Snapshot) -> None:
    """What must hold at any moment."""
    for job in now.jobs.values():
        assert (job.lease is not None) == (job.state in LEASED), f"lease without a leased state, or the reverse: {job}"
        assert job.is_finished == (job.state in FINAL), job
        assert job.rank_is_true, f"the rank does not follow from ready_at and priority: {job}"
        may_wait = job.state in (State.SCHEDULED, State.RETRYING)
        assert job.state == State.BLOCKED or (job.is_due is not None) == may_wait, f"a stray run_at: {job}"
        assert job.state != State.BLOCKED or job.after not in (None, job.id), f"nobody will let it go: {job}"
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
        # Its times go by, and its key may be let go.
        same = {"is_late": None, "key_is_over": None, "key": job.key}
        assert job._replace(**same) == old._replace(**same), f"a finished job changed: {old} → {job}"
        assert job.key in (old.key, None), f"a finished job took a key: {old} → {job}"
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
            job.priority,
            job.key and job.key[1],
            job.key_until <= model.now if job.key and job.key_until is not None else None,
            job.chord,
            job.after,
            job.args,
            job.result,
        )
        for id_, job in model.jobs.items()
    }
    found = {id_: row[1:18] for id_, row in now.jobs.items()}
    assert found == expected, [
        f"{Row._fields[1:18]} is {found.get(id_)}, must be {expected.get(id_)}"
        for id_ in found | expected
        if found.get(id_) != expected.get(id_)
    ]
    assert {token: lease[1:] for token, lease in now.leases.items()} == {
        token: (lease.ids, lease.worker) for token, lease in model.leases.items()
    }
    assert now.attempts == model.history
    assert now.chords == {id_: chord.done for id_, chord in model.chords.items()}
    for id_, job in model.jobs.items():
        assert job.key is None or now.jobs[id_].task == job.key[0]
        said = json.loads(now.jobs[id_].options or "{}").get("chord_error")
        assert (said is not None) == (job.culprits is not None), f"its chord is spoilt, or not: {now.jobs[id_]}"
        assert said is None or any(f"Dependency {culprit} raised" in said for culprit in job.culprits)
