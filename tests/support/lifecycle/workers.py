"""Workers: boots that start, die and come back; messages won at any time; outcomes of every kind."""

from datetime import UTC, datetime
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import rule

from jobs.engine import workers
from jobs.engine.enqueue import NewJob
from jobs.engine.maintenance import Sweeper
from jobs.engine.record import Recorder
from jobs.policy import Outcome
from jobs.states import End, State
from tests.support.engine import NODE

from .model import Kind
from .stage import HOUR, Stage, needs, nth, settings_of_test, some

COMPLETED = Kind(State.COMPLETED, End.COMPLETED)
KINDS = (
    COMPLETED,
    COMPLETED,
    Kind(State.FAILED, End.FAILED),
    Kind(State.DEAD_LETTER, End.FAILED),
    Kind(State.CANCELLED, End.CANCELLED),  # discarded by its task
    Kind(State.RETRYING, End.RETRIED, hours=0, spent=1),
    Kind(State.RETRYING, End.RETRIED, hours=2, spent=1),
    Kind(State.RETRYING, End.RETRIED, hours=1, spent=0),
    Kind(State.SCHEDULED, End.RETRIED, hours=0),  # snoozed
    Kind(State.SCHEDULED, End.RETRIED, hours=1),
)

kinds = st.lists(st.sampled_from(KINDS), min_size=1, max_size=3)


class Workers(Stage):
    @rule(crashed=st.none() | nth)
    def start_a_worker(self, crashed: int | None = None) -> None:
        """A new boot; it finds the process of an earlier one gone, or none."""
        boot, pid = self.new_id(), 1 + len(self.pids)
        dead = self.of(self.boots, crashed) if crashed is not None and self.boots else None
        workers.register(
            self.world.worker, boot, name=NODE, slots=1, queues=None, is_gone=lambda found: found == self.pids.get(dead)
        )
        self.world.eye._open().execute("UPDATE jobs_worker SET pid = %s WHERE id = %s", (pid, boot))
        self.pids[boot] = pid
        self.model.alive.add(boot)
        self.model.alive.discard(dead)
        self.boots.append(boot)

    @needs("boots")
    @rule(nth=nth)
    def stop_a_worker(self, nth: int) -> None:
        boot = self.of(self.boots, nth)
        workers.stop(self.world.worker, boot)
        self.model.alive.discard(boot)
        self.model.stopped.add(boot)

    @needs("boots")
    @rule(nth=nth)
    def heartbeat(self, nth: int) -> None:
        boot = self.of(self.boots, nth)
        assert workers.heartbeat(self.world.worker, boot, slots=1, stopping=False) == (boot in self.model.alive)

    @needs("boots")
    @rule(nths=some)
    def silence(self, nths: list[int]) -> None:
        """Long enough to presume dead whoever sends no heartbeat."""
        beating = {self.of(self.boots, nth) for nth in nths}
        clock = iter(range(1000, 10_000, 25))
        sweeper = Sweeper(self.world.worker, settings_of_test(), clock=lambda: float(next(clock)))
        for _ in range(4):
            for boot in beating:
                workers.heartbeat(self.world.worker, boot, slots=1, stopping=False)
            sweeper.void_silent_workers()
        self.model.alive &= beating

    @needs("messages")
    @rule(nth=nth, boot=nth, again=st.booleans())
    def win(self, nth: int, boot: int, again: bool) -> None:
        """A message reaches a worker, for the first time or not; `again`: the reply to its last try was lost."""
        token, by = self.of(self.messages, nth), self.of(self.boots, boot)
        receipt = self.receipts.get((token, by), self.new_id()) if again else self.new_id()
        self.receipts[token, by] = receipt
        rows = self.world.worker.rows("win", token=token, worker=by, node=NODE, receipt=receipt)
        assert bool(rows) == self.model.win(token, by, receipt)
        if rows:
            self.runs.append(token)

    @needs("messages")
    @rule(boot=nth)
    def win_what_is_fresh(self, boot: int) -> None:
        fresh = [token for token, lease in self.model.leases.items() if lease.worker is None]
        if fresh:
            self.win(nth=len(self.messages) - 1 - self.messages.index(fresh[0]), boot=boot, again=False)

    @needs("runs")
    @rule(nth=nth, place=st.integers(0, 2))
    def start(self, nth: int, place: int) -> None:
        """The row of a job that runs longer than expected."""
        token = self.of(self.runs, nth)
        id_ = self.carried[token][place % len(self.carried[token])]
        self.world.worker.rows("start", id=id_, token=token, started_at=datetime.now(UTC), node=NODE)
        self.model.start(token, id_)

    @needs("runs")
    @rule(nth=nth, place=st.integers(0, 2))
    def progress(self, nth: int, place: int) -> None:
        token = self.of(self.runs, nth)
        id_ = self.carried[token][place % len(self.carried[token])]
        now = datetime.now(UTC)
        self.world.worker.rows("progress", id=id_, token=token, started_at=now, node=NODE, progress="1")
        self.model.start(token, id_)

    @needs("runs")
    @rule(nth=nth, ends=kinds, skip=st.integers(0, 2), chain=st.booleans())
    def flush(self, nth: int, ends: list[Kind], skip: int, chain: bool) -> None:
        """Record outcomes of some of a lease's jobs; the first may have a next job."""
        token = self.of(self.runs, nth)
        self._finish(token, list(zip(self.carried[token][skip:], ends, strict=False)), done=False, chain=chain)

    @needs("runs")
    @rule(nth=nth, others=some)
    def give_back(self, nth: int, others: list[int]) -> None:
        token = self.of(self.runs, nth)
        ids = [*self.carried[token][1:], *(self.of(self.jobs, other) for other in others)]
        moved = {row[0] for row in self.world.worker.rows("give_back", ids=ids, token=token)}
        assert moved == self.model.give_back(token, ids)

    @needs("runs")
    @rule(nth=nth, ends=kinds, chain=st.booleans())
    def close(self, nth: int, ends: list[Kind], chain: bool) -> None:
        """The worker is through: outcomes for what it began, the rest goes back, and the lease ends."""
        self._close(self.of(self.runs, nth), ends, chain=chain)

    def _close(self, token: UUID, ends: list[Kind], *, chain: bool = False) -> None:
        ids = self.carried[token]
        rest = ids[len(ends) :]
        moved = {row[0] for row in self.world.worker.rows("give_back", ids=rest, token=token)}
        assert moved == self.model.give_back(token, rest)
        ended = [*zip(ids, ends, strict=False), *((id_, COMPLETED) for id_ in rest if id_ not in moved)]
        self._finish(token, ended, done=True, chain=chain)

    def _finish(self, token: UUID, ended: list[tuple[UUID, Kind]], *, done: bool, chain: bool) -> None:
        next_id = self.new_id()
        results = [f'"{next_id} {place}"' for place in range(len(ended))]
        outcomes = [self._outcome(id_, kind, result) for (id_, kind), result in zip(ended, results, strict=True)]
        if chain and outcomes:
            outcomes[0].next_jobs = [NewJob(task="long", id=next_id)]
        recorder = Recorder(self.world.worker, NODE)
        recorder._token = token
        moved = recorder._write(recorder._link, outcomes, done=done)
        said = [(id_, kind, result) for (id_, kind), result in zip(ended, results, strict=True)]
        assert moved == self.model.finish(token, said, done=done)
        if chain and ended and ended[0][0] in moved and self._stands(*ended[0]):
            self.model.enqueue(next_id)
            self.known(next_id)

    def _outcome(self, id_: UUID, kind: Kind, result: str) -> Outcome:
        now = datetime.now(UTC)
        in_chord = self.model.jobs[id_].chord is not None
        return Outcome(
            *(id_, kind.state, kind.end, now, now),
            delay=kind.hours * HOUR or None,
            spent=kind.spent,
            result=result,
            in_chord=in_chord,
        )

    def _stands(self, id_: UUID, kind: Kind) -> bool:
        """A wish to cancel may have overruled it."""
        return self.model.jobs[id_].state == kind.state
