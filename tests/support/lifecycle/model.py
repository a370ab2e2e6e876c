"""What the engine promises about jobs and leases, as plain Python: an oracle that shares no code with the SQL.

Time is whole hours. Every verb answers what the engine's statement of that name must answer.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from jobs.states import FINAL, LEASED, End, State

from .waiting import ModelJob, Waiting

POISON_AFTER = 2
STOPPABLE = {State.BLOCKED, State.SCHEDULED, State.PENDING, State.PAUSED, State.RETRYING}


@dataclass
class ModelLease:
    ids: list[UUID]
    sent_at: int
    place: float
    worker: UUID | None = None
    receipt: UUID | None = None


@dataclass(frozen=True)
class Kind:
    """What one run ends with; `hours` until the next attempt of one that is not over."""

    state: State
    end: End
    hours: int = 0
    spent: int = 0


@dataclass
class Model(Waiting):
    leases: dict[UUID, ModelLease] = field(default_factory=dict)
    alive: set[UUID] = field(default_factory=set)
    stopped: set[UUID] = field(default_factory=set)
    paused: set[str] = field(default_factory=set)
    pauses: dict[str, int] = field(default_factory=dict)
    """Unique keys that are paused, and the number of that pause: none is used twice."""
    last_pause: int = 0
    history: set[tuple[UUID, int, int, str]] = field(default_factory=set)
    """Attempts: job, epoch, number, end."""

    def is_late(self, job: ModelJob) -> bool:
        return job.expires_at is not None and job.expires_at <= self.now

    def ready(self, queue: str) -> set[UUID]:
        return {
            id_
            for id_, job in self.jobs.items()
            if job.state == State.PENDING and job.queue == queue and not self.is_late(job) and not self.held(job)
        }

    def held(self, job: ModelJob) -> int | None:
        return self.pauses.get(job.key[1]) if job.key else None

    def pause(self, key: str, paused: bool) -> bool:
        if not paused:
            return self.pauses.pop(key, None) is not None
        if key not in self.pauses:
            self.last_pause += 1
            self.pauses[key] = self.last_pause
        return True

    def hold(self, ids: Iterable[UUID]) -> set[UUID]:
        """Which of these are set aside."""
        moved = {id_ for id_ in ids if self.jobs[id_].state == State.PENDING and self.held(self.jobs[id_])}
        for id_ in moved:
            self.jobs[id_].state, self.jobs[id_].pause = State.PAUSED, self.held(self.jobs[id_])
        return moved

    def resume(self) -> set[UUID]:
        """Those go on whose own pause is over, though another one may hold them the next time."""
        paused = {id_: job for id_, job in self.jobs.items() if job.state == State.PAUSED}
        moved = {id_ for id_, job in paused.items() if job.pause not in self.pauses.values()}
        for id_ in moved:
            self.jobs[id_].state, self.jobs[id_].pause = State.PENDING, None
        return moved

    def _expires_by(self, id_: UUID, at: int) -> bool:
        expires_at = self.jobs[id_].expires_at
        return expires_at is not None and expires_at <= at

    def postpone(self, ids: Iterable[UUID], hours: int) -> set[UUID]:
        at = self.now + hours
        waiting = {State.SCHEDULED, State.PENDING, State.PAUSED, State.RETRYING}
        moved = {id_ for id_ in ids if self.jobs[id_].state in waiting and not self._expires_by(id_, at)}
        for id_ in moved:
            job = self.jobs[id_]
            job.state = State.RETRYING if job.state == State.RETRYING else State.SCHEDULED
            job.run_at, job.pause = at, None
        return moved

    def promote(self) -> set[UUID]:
        moved = set()
        for id_, job in self.jobs.items():
            if job.state in (State.SCHEDULED, State.RETRYING) and job.run_at is not None and job.run_at <= self.now:
                job.state, job.run_at = State.PENDING, None
                moved.add(id_)
        return moved

    def expire(self) -> set[UUID]:
        waiting = (State.SCHEDULED, State.RETRYING, State.PENDING, State.PAUSED)
        return {id_ for id_, job in self.jobs.items() if job.state in waiting and self.is_late(job) and self._end(job)}

    def dispatch(self, token: UUID, ids: Sequence[UUID], place: float) -> None:
        for id_ in ids:
            job = self.jobs[id_]
            assert job.state == State.PENDING, f"a job that is {job.state} was leased"
            assert not self.is_late(job), "a job was leased after its expiry"
            job.state, job.lease, job.attempt = State.DISPATCHED, token, job.attempt + 1
        self.leases[token] = ModelLease(list(ids), self.now, place)

    def win(self, token: UUID, worker: UUID, receipt: UUID) -> bool:
        lease = self.leases.get(token)
        if lease is None or worker not in self.alive or lease.receipt not in (None, receipt):
            return False
        lease.worker, lease.receipt = worker, receipt
        if len(lease.ids) == 1 and lease.place >= 1:
            self.start(token, lease.ids[0])
        return True

    def start(self, token: UUID, id_: UUID) -> bool:
        job = self.jobs[id_]
        if job.lease == token:
            job.state = State.RUNNING
        return job.lease == token

    def finish(self, token: UUID, outcomes: Iterable[tuple[UUID, Kind, str]], *, done: bool) -> set[UUID]:
        moved = set()
        for id_, kind, result in outcomes:
            if self.jobs[id_].lease == token:
                moved.add(id_)
                self._finish_one(id_, kind, result)
        for chord in {self.jobs[id_].chord for id_ in moved if self.jobs[id_].state == State.COMPLETED} - {None}:
            if self.chords[chord].is_complete:
                self.release(chord)
        if done:
            self.leases.pop(token, None)
        return moved

    def _finish_one(self, id_: UUID, kind: Kind, result: str) -> None:
        job = self.jobs[id_]
        job.lease = None
        job.retries += kind.spent
        if kind.state == State.SCHEDULED and not job.unwanted:
            job.attempt -= 1  # snoozed: nothing was spent
        else:
            self._record(id_, kind.end)
        if kind.state != State.SCHEDULED:
            job.result = result
        if kind.state in FINAL or job.unwanted:
            job.state = kind.state if kind.state in FINAL else State.CANCELLED
            self._end_with_hold(job)
        else:
            job.state, job.run_at = kind.state, self.now + kind.hours
        if job.state == State.COMPLETED and job.chord:
            self.chords[job.chord].done += 1

    def give_back(self, token: UUID, ids: Iterable[UUID]) -> set[UUID]:
        """Of its own jobs those that were not seen to start."""
        moved = {id_ for id_ in ids if self.jobs[id_].lease == token and self.jobs[id_].state == State.DISPATCHED}
        for id_ in moved:
            self._unstart(self.jobs[id_])
        return moved

    def lose(self, token: UUID, *, won: bool, begun: int | None, strike: bool) -> tuple[int, int, int]:
        lease = self.leases.get(token)
        if lease is None or (lease.worker is not None) != won:
            return 0, 0, 0
        del self.leases[token]
        lost = unstarted = poisoned = 0
        for place, id_ in enumerate(lease.ids, start=1):
            job = self.jobs[id_]
            if job.lease != token:
                continue
            if not won or (begun is not None and place > begun):
                unstarted += 1
                self._unstart(job)
                continue
            lost += 1
            self._record(id_, End.LOST)
            job.strikes += strike and len(lease.ids) == 1
            job.lease = None
            job.state = State.CANCELLED if job.unwanted else State.PENDING
            if strike and len(lease.ids) == 1 and job.strikes >= POISON_AFTER and not job.unwanted:
                job.state, job.result = State.DEAD_LETTER, None
                poisoned += 1
            if job.state in FINAL:
                self._end_with_hold(job)
        return lost, unstarted, poisoned

    def lost_leases(self) -> list[tuple[UUID, bool, bool]]:
        """Of dead workers, and those sent in an earlier hour that nobody won; no blame where a worker was stopped."""
        return [
            (token, lease.worker is not None, lease.worker not in self.stopped)
            for token, lease in self.leases.items()
            if (lease.worker is None and lease.sent_at < self.now)
            or (lease.worker is not None and lease.worker not in self.alive)
        ]

    def cancel(self, ids: Iterable[UUID], *, running: bool) -> tuple[set[UUID], set[UUID]]:
        ids = set(ids)
        for token, lease in list(self.leases.items()):
            if lease.worker is None and any(self.jobs[id_].lease == token for id_ in ids):
                self.lose(token, won=False, begun=None, strike=False)
        now = {id_ for id_ in ids if self.jobs[id_].state in STOPPABLE}
        for id_ in now:
            self._end(self.jobs[id_], State.CANCELLED)
        asked = {id_ for id_ in ids if running and self.jobs[id_].state in LEASED}
        for id_ in asked:
            self.jobs[id_].unwanted = True
        return now, asked

    def _end(self, job: ModelJob, state: State = State.EXPIRED) -> bool:
        """The end of one that never started: it holds its key no more."""
        job.state, job.run_at, job.key, job.pause = state, None, None, None
        return True

    def _end_with_hold(self, job: ModelJob) -> None:
        """The end of one that ran: it holds its key for as long as its caller said."""
        if job.key_until is None or job.key_until <= self.now:
            job.key = None

    def _unstart(self, job: ModelJob) -> None:
        job.lease, job.attempt = None, job.attempt - 1
        job.state = State.PENDING
        if job.unwanted:
            self._end(job, State.CANCELLED)

    def _record(self, id_: UUID, end: End) -> None:
        job = self.jobs[id_]
        self.history.add((id_, job.epoch, job.attempt, str(end)))
