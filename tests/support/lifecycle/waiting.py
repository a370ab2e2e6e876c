"""The part of the model that knows who waits, and for whom: ids, unique keys, chords.

Time is whole hours. Every verb answers what the engine's statement of that name must answer.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from jobs.states import FINAL, LEASED, WAITING, State

REPEATABLE = {State.FAILED, State.DEAD_LETTER, State.CANCELLED, State.EXPIRED}
PLACEHOLDER = '[{"__jobs__": "results of the chord"}]'


@dataclass
class ModelJob:
    queue: str
    state: State
    run_at: int | None = None
    expires_at: int | None = None
    epoch: int = 1
    attempt: int = 0
    retries: int = 0
    strikes: int = 0
    lease: UUID | None = None
    unwanted: bool = False
    """Someone asked its worker to stop it."""
    priority: int = 10
    key: tuple[str, str] | None = None
    """Task and unique key, while it holds that."""
    key_until: int | None = None
    given: tuple[str, str] | None = None
    """Task and unique key of its call."""
    chord: UUID | None = None
    after: UUID | None = None
    countdown: int = 0
    """Hours from its release to its start."""
    args: str = "[]"
    result: str | None = None
    culprits: frozenset[UUID] | None = None
    """Members that its chord could not complete for."""
    pause: int | None = None
    """Which of the pauses holds it."""


@dataclass
class ModelChord:
    members: Sequence[UUID]
    done: int = 0

    @property
    def is_complete(self) -> bool:
        return self.done >= len(self.members)


@dataclass
class Waiting:
    now: int = 0
    jobs: dict[UUID, ModelJob] = field(default_factory=dict)
    chords: dict[UUID, ModelChord] = field(default_factory=dict)

    def enqueue(self, id_: UUID, queue: str = "default", hours: int = 0, expires: int | None = None, **fields) -> bool:
        """A new job, or a new life of one that is over; a live id keeps its row."""
        old = self.jobs.get(id_)
        if old is not None and old.state not in FINAL:
            return False
        first = State.SCHEDULED if hours > 0 else State.PENDING
        job = ModelJob(
            queue,
            State.BLOCKED if fields.get("after") else first,
            run_at=self.now + hours if hours > 0 else None,
            expires_at=None if expires is None else self.now + expires,
            epoch=old.epoch + 1 if old else 1,
            **fields,
        )
        if old and old.state != State.COMPLETED and job.chord is None:
            job.chord = old.chord  # its chord still counts on it
        self.jobs[id_] = job
        return True

    # Unique keys

    def enqueue_unique(
        self, id_: UUID, key: tuple[str, str], on_conflict: str, *, hours: int, lasts: int | None
    ) -> tuple[UUID, bool]:
        """Whose id the caller gets, and whether that is an error."""
        holder = next((other for other, job in self.jobs.items() if job.key == key), None)
        if holder is not None and self._has_let_go(self.jobs[holder]):
            self._let_go(holder)
            holder = None
        after = None
        if holder is not None:
            if holder == id_ or on_conflict == "existing":
                return holder, False
            if on_conflict == "raise":
                return holder, True
            after = self._replaced(holder)
        until = None if lasts is None else self.now + lasts
        self.enqueue(id_, "default", hours, key=key, given=key, key_until=until, after=after)
        return id_, False

    def _replaced(self, holder: UUID) -> UUID | None:
        """End the holder; returns the job that must end before the new one may start."""
        before = self.jobs[holder].after
        _, asked = self.cancel([holder], running=True)
        self._let_go(holder)
        if asked:
            return holder
        return before if before in self.jobs and self.jobs[before].state in LEASED else None

    def _let_go(self, holder: UUID) -> None:
        if self.jobs[holder].key:
            self.jobs[holder].key = self.jobs[holder].key_until = None

    def _has_let_go(self, job: ModelJob) -> bool:
        return job.state in FINAL and (job.key_until is None or job.key_until <= self.now)

    def release_keys(self) -> set[UUID]:
        late = {
            id_ for id_, job in self.jobs.items() if job.key and job.key_until is not None and self._has_let_go(job)
        }
        for id_ in late:
            self.jobs[id_].key = None
        return late

    def cancel(self, ids: Iterable[UUID], *, running: bool) -> tuple[set[UUID], set[UUID]]:
        raise NotImplementedError

    # Chords, and jobs that wait for another

    def enqueue_chord(self, chord: UUID, members: Sequence[UUID], body: UUID, countdown: int) -> None:
        self.chords[chord] = ModelChord(members)
        for member in members:
            self.enqueue(member, chord=chord)
        self.enqueue(body, after=chord, args=PLACEHOLDER, countdown=countdown)

    def judge(self) -> None:
        """Whoever waits for what is over, or can't be any more, goes on."""
        awaited = {job.after for job in self.jobs.values() if job.state == State.BLOCKED}
        culprits = {after: self._culprits(after) for after in awaited}
        for after in awaited:
            chord = self.chords.get(after)
            if chord is None and (after not in self.jobs or self.jobs[after].state in FINAL):
                self._release_after(after)
            elif chord and chord.is_complete:
                self.release(after)
            elif chord and culprits[after]:
                self._spoil(after, culprits[after])

    def release(self, chord: UUID) -> None:
        """The results take the placeholder's place, each once and in order."""
        results = ", ".join(
            (self.jobs[id_].result if id_ in self.jobs else None) or "null" for id_ in self.chords[chord].members
        )
        for job in self._blocked_by(chord):
            if job.args == PLACEHOLDER:
                job.args = f"[[{results}]]"
            job.run_at = self.now + job.countdown if job.countdown else None
            job.state = State.SCHEDULED if job.countdown else State.PENDING
            job.after = job.culprits = None

    def _release_after(self, before: UUID) -> None:
        for job in self._blocked_by(before):
            waits = job.run_at is not None and job.run_at > self.now
            job.state, job.after = State.SCHEDULED if waits else State.PENDING, None
            job.run_at = job.run_at if waits else None

    def _spoil(self, chord: UUID, culprits: frozenset[UUID]) -> None:
        """It runs, to fail; it keeps `after`, so that a requeue waits for the chord again."""
        for job in self._blocked_by(chord):
            job.state, job.run_at, job.expires_at, job.culprits = State.PENDING, None, None, culprits

    def _culprits(self, chord: UUID) -> frozenset[UUID]:
        return frozenset(id_ for id_, job in self.jobs.items() if job.chord == chord and job.state in REPEATABLE)

    def _blocked_by(self, after: UUID) -> list[ModelJob]:
        return [job for job in self.jobs.values() if job.state == State.BLOCKED and job.after == after]

    # Operators

    def requeue(self, ids: Iterable[UUID]) -> set[UUID]:
        """A new life with what its caller said, its key too; one that waited for a chord waits again.

        One whose key another job holds stays; of two that want one key, the first gets it.
        """
        ids = list(ids)
        moved = {id_ for id_ in ids if self._requeued(id_)}
        for id_ in ids:
            # A hold that is over stands in nobody's way; but what holds a key and moves itself goes first.
            for other in self._rivals(id_) if id_ not in moved else ():
                if self._has_let_go(self.jobs[other]):
                    self._let_go(other)
        return moved | {id_ for id_ in ids if id_ not in moved and self._requeued(id_)}

    def _requeued(self, id_: UUID) -> bool:
        old = self.jobs[id_]
        if old.state not in REPEATABLE or self._rivals(id_):
            return False
        new = ModelJob(old.queue, State.BLOCKED if old.after else State.PENDING, epoch=old.epoch + 1)
        self.jobs[id_] = replace(new, **{name: getattr(old, name) for name in KEPT}, key=old.given)
        return True

    def _rivals(self, id_: UUID) -> list[UUID]:
        """Who else holds the key that a job which is over wants again."""
        job = self.jobs[id_]
        if job.state not in REPEATABLE or job.given is None:
            return []
        return [other for other, one in self.jobs.items() if one.key == job.given and other != id_]

    def prioritise(self, ids: Iterable[UUID], fresh: Callable[[int], int]) -> dict[UUID, int]:
        """Jobs that wait get another priority, within −100 … 100."""
        given = {}
        for id_ in ids:
            job = self.jobs[id_]
            if job.state in WAITING and id_ not in given:
                given[id_] = job.priority = max(-100, min(100, fresh(job.priority)))
        return given


KEPT = ("priority", "given", "key_until", "chord", "after", "countdown", "args", "culprits")
"""What a requeue leaves as it was."""
