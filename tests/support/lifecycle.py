"""Jobs, dispatchers, workers and operators doing anything in any order on a real database, beside a model of it.

Messages are lease tokens; they are kept for ever, so each is delivered late, twice, to the wrong worker, or never.
"""

import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

from django.db import connection, transaction
from django.utils import timezone
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jobs import engine
from jobs.conf import jobs_settings
from jobs.engine import workers
from jobs.engine.broker import Broker
from jobs.engine.dispatch import Dispatcher, front
from jobs.engine.enqueue import NewJob, enqueue, enqueue_in
from jobs.engine.link import Link
from jobs.engine.maintenance import Sweeper, lose
from jobs.engine.record import Recorder
from jobs.engine.window import WINDOW
from jobs.models import Queue
from jobs.policy import Outcome
from jobs.states import FINAL, End, State
from jobs.wire import ANY_QUEUE
from tests.support.engine import NODE, empty, empty_tables
from tests.support.model import POISON_AFTER, Kind, Model
from tests.support.snapshot import check, check_step, compare, read

QUEUES = ("default", "other")
COMPLETED = Kind(State.COMPLETED, End.COMPLETED)
KINDS = (
    COMPLETED,
    Kind(State.FAILED, End.FAILED),
    Kind(State.DEAD_LETTER, End.FAILED),
    Kind(State.CANCELLED, End.CANCELLED),
    Kind(State.RETRYING, End.RETRIED, hours=0, spent=1),
    Kind(State.RETRYING, End.RETRIED, hours=2, spent=1),
    Kind(State.RETRYING, End.RETRIED, hours=1, spent=0),
)
HOUR = 3600.0

queues = st.sampled_from(QUEUES)
kinds = st.lists(st.sampled_from(KINDS), min_size=1, max_size=3)
begun = st.none() | st.integers(0, 3)
nth = st.integers(0, 7)
"""Which of the latest, 0 being the last: most of what happens happens to what is new."""
some = st.lists(nth, min_size=1, max_size=3)


def needs(name: str):
    """A rule that has nothing to choose from yet is not chosen."""
    return precondition(lambda self: bool(getattr(self, name)))


@dataclass(frozen=True)
class World:
    """What outlives an example: connections of two dispatchers, a worker, a slow producer and the checker."""

    dispatchers: tuple[Dispatcher, Dispatcher]
    worker: Link
    producer: Link
    eye: Link
    broker: Broker

    def reset(self) -> None:
        empty_tables(self.eye)
        empty(self.broker)
        for dispatcher in self.dispatchers:
            dispatcher._unsent.clear()
            dispatcher._resend_all = False


def settings_of_test():
    return replace(jobs_settings(), dispatch_timeout=HOUR / 2, poison_after=POISON_AFTER, carrier_max=3, aging=360)


class Lifecycle(RuleBasedStateMachine):
    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        world.reset()
        self.model = Model()
        self.seen = read(world.eye)
        self.jobs: list[UUID] = []
        self.messages: list[UUID] = []
        self.runs: list[UUID] = []
        """Tokens of messages that some worker has won, if only once and long ago."""
        self.boots: list[UUID] = []
        self.carried: dict[UUID, list[UUID]] = {}
        self.pids: dict[UUID, int] = {}
        self.receipts: dict[tuple[UUID, UUID], UUID] = {}
        self.open: tuple[ExitStack, list[UUID]] | None = None

    @initialize(count=st.integers(1, 5), share=st.integers(1, 3), win=st.booleans())
    def begin_at_work(self, count: int, share: int, win: bool) -> None:
        self.start_a_worker()
        for _ in range(count):
            self._enqueue(uuid4(), "default", 10, 0, None, "short", "at once")
        self.seen = read(self.world.eye)
        self.claim(which=True, queue="default", share=share, limit=4)
        if win:
            self.win(nth=0, boot=0, again=False)
        self.seen = read(self.world.eye)

    # Producers

    @rule(
        queue=queues,
        priority=st.sampled_from([0, 10, 10, 90]),
        hours=st.sampled_from([0, 0, 0, 1, 3]),
        expires=st.sampled_from([None, None, None, 0, 1, 2]),
        task=st.sampled_from(["short", "short", "long"]),
        ending=st.sampled_from(["at once", "at once", "commit", "rollback", "savepoint"]),
    )
    def enqueue(self, queue: str, priority: int, hours: int, expires: int | None, task: str, ending: str) -> None:
        self._enqueue(uuid4(), queue, priority, hours, expires, task, ending)

    @needs("jobs")
    @rule(nth=nth, hours=st.sampled_from([0, 1]), ending=st.sampled_from(["at once", "commit", "rollback"]))
    def enqueue_again(self, nth: int, hours: int, ending: str) -> None:
        self._enqueue(self._of(self.jobs, nth), "default", 10, hours, None, "short", ending)

    def _enqueue(
        self, id_: UUID, queue: str, priority: int, hours: int, expires: int | None, task: str, ending: str
    ) -> None:
        def call() -> None:
            delay = hours * HOUR if hours else None
            until = None if expires is None else expires * HOUR
            job = NewJob(task=task, id=id_, queue=queue, priority=priority, delay=delay, expires=until)
            assert enqueue(job) == id_

        if ending == "at once":
            call()
        else:
            with transaction.atomic():
                inner = transaction.savepoint()
                call()
                if ending == "savepoint":
                    transaction.savepoint_rollback(inner)
                if ending == "rollback":
                    transaction.set_rollback(True)
        if ending in ("at once", "commit"):
            self._enqueued(id_, queue, hours, expires)

    def _enqueued(self, id_: UUID, queue: str = "default", hours: int = 0, expires: int | None = None) -> None:
        self.model.enqueue(id_, queue, hours, expires)
        if id_ not in self.jobs:
            self.jobs.append(id_)

    @precondition(lambda self: self.open is None)
    @rule(count=st.integers(1, 3))
    def begin_a_long_transaction(self, count: int) -> None:
        ids = [uuid4() for _ in range(count)]
        stack = ExitStack()
        stack.enter_context(self.world.producer.transaction())
        enqueue_in(self.world.producer, [NewJob(task="short", id=id_) for id_ in ids])
        self.open = stack, ids

    @precondition(lambda self: self.open is not None)
    @rule(commit=st.booleans())
    def end_the_long_transaction(self, commit: bool) -> None:
        stack, ids = self.open
        self.open = None
        if not commit:
            stack.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
            return
        stack.close()
        for id_ in ids:
            self._enqueued(id_)

    # Dispatchers

    @rule(which=st.booleans())
    def promote(self, which: bool) -> None:
        assert self.world.dispatchers[which].promote() == len(self.model.promote())

    @rule()
    def expire(self) -> None:
        moved = {row[0] for row in self.world.worker.rows("expire", limit=1000)}
        assert moved == self.model.expire()

    @rule(which=st.booleans())
    def dispatch(self, which: bool) -> None:
        """A whole round; what it chose is read from the leases it left."""
        before = read(self.world.eye)
        dispatcher = self.world.dispatchers[which]
        count = dispatcher.dispatch()
        after = read(self.world.eye)
        made = {token: lease for token, lease in after.leases.items() if token not in before.leases}
        assert count == sum(len(ids) for _, ids, _ in made.values())
        chosen = [id_ for _, ids, _ in made.values() for id_ in ids]
        assert len(chosen) == len(set(chosen)), "one job in two messages"
        for queue in QUEUES:
            ready = self._in_rank_order(queue, before)
            mine = [id_ for id_ in ready if id_ in chosen]
            assert mine == ready[: len(mine)], "a better ranked job was left behind"
            assert not mine or queue not in self.model.paused, "a paused queue moved"
        assert len(chosen) == sum(id_ in self.model.ready(self.model.jobs[id_].queue) for id_ in chosen)
        if made:
            assert len(after.leases) <= WINDOW * len(self.model.alive), "more messages than the window holds"
        for token, (_, ids, _) in made.items():
            if len(ids) > 1:
                assert not any(end == "lost" for id_, _, _, end in before.attempts if id_ in ids), "it travels alone"
            self._leased(token, ids)
        self._all_arrived(made)

    def _all_arrived(self, made) -> None:
        waiting = self.world.broker._connection.SimpleQueue(ANY_QUEUE)
        arrived = [waiting.get(timeout=5).payload[0][1] for _ in range(self.world.broker.length(ANY_QUEUE))]
        waiting.close()
        assert {str(token) for token in made} <= set(arrived), "leased, and not in the broker"

    @rule(which=st.booleans(), queue=queues, share=st.integers(1, 3), limit=st.integers(1, 5))
    def claim(self, which: bool, queue: str, share: int, limit: int) -> None:
        """Lease the front of a queue in carriers of `share`, and never tell the broker."""
        link = self.world.dispatchers[which].link
        with link.transaction():
            self._claim(link, queue, share, limit)

    @rule(queue=queues, share=st.integers(1, 3), limit=st.integers(1, 3))
    def claim_at_the_same_time(self, queue: str, share: int, limit: int) -> None:
        """One dispatcher is in the middle of its claim while the other makes the whole of its own."""
        first, second = (dispatcher.link for dispatcher in self.world.dispatchers)
        with first.transaction():
            ids = [found.id for found in front(first, queue, limit=limit)]
            with second.transaction():
                self._claim(second, queue, share, limit, taken=ids)
            self._lease(first, queue, ids, share)

    def _claim(self, link: Link, queue: str, share: int, limit: int, taken: list[UUID] | None = None) -> None:
        ids = [found.id for found in front(link, queue, limit=limit)]
        expected = [id_ for id_ in self._in_rank_order(queue, self.seen) if id_ not in (taken or ())]
        assert ids == expected[:limit], "the front of the queue is the best ranked that nobody holds"
        self._lease(link, queue, ids, share)

    def _lease(self, link: Link, queue: str, ids: list[UUID], share: int) -> None:
        if not ids:
            return
        groups = [ids[start : start + share] for start in range(0, len(ids), share)]
        tokens = [uuid4() for _ in groups]
        spread = [token for token, group in zip(tokens, groups, strict=True) for _ in group]
        made = link.rows("dispatch", queue=queue, routing_key=ANY_QUEUE, ids=ids, tokens=spread)
        assert [row[0] for row in made] == tokens
        for token, group in zip(tokens, groups, strict=True):
            self._leased(token, group)

    def _leased(self, token: UUID, ids: list[UUID]) -> None:
        self.model.dispatch(token, ids)
        self.carried[token] = list(ids)
        self.messages.append(token)

    def _in_rank_order(self, queue: str, now) -> list[UUID]:
        return sorted(self.model.ready(queue), key=lambda id_: (now.jobs[id_].rank, id_))

    @rule(queue=queues, paused=st.booleans())
    def pause(self, queue: str, paused: bool) -> None:
        Queue.objects.update_or_create(name=queue, defaults={"paused_at": timezone.now() if paused else None})
        (self.model.paused.add if paused else self.model.paused.discard)(queue)

    @rule(hours=st.integers(1, 3))
    def time_passes(self, hours: int) -> None:
        self.model.now += hours
        by = f"- interval '{hours} h'"
        self.world.eye._open().execute(
            f"UPDATE jobs_job SET run_at = run_at {by}, expires_at = expires_at {by};"
            f"UPDATE jobs_lease SET sent_at = sent_at {by}"
        )

    # Workers

    @rule(crashed=st.none() | nth)
    def start_a_worker(self, crashed: int | None = None) -> None:
        """A new boot; it finds the process of an earlier one gone, or none."""
        boot, pid = uuid4(), 1 + len(self.pids)
        dead = self._of(self.boots, crashed) if crashed is not None and self.boots else None
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
        boot = self._of(self.boots, nth)
        workers.stop(self.world.worker, boot)
        self.model.alive.discard(boot)
        self.model.stopped.add(boot)

    @needs("boots")
    @rule(nth=nth)
    def heartbeat(self, nth: int) -> None:
        boot = self._of(self.boots, nth)
        assert workers.heartbeat(self.world.worker, boot, slots=1, stopping=False) == (boot in self.model.alive)

    @needs("boots")
    @rule(nths=some)
    def silence(self, nths: list[int]) -> None:
        """Long enough to presume dead whoever sends no heartbeat."""
        beating = {self._of(self.boots, nth) for nth in nths}
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
        token, by = self._of(self.messages, nth), self._of(self.boots, boot)
        receipt = self.receipts.get((token, by), uuid4()) if again else uuid4()
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
        token = self._of(self.runs, nth)
        id_ = self.carried[token][place % len(self.carried[token])]
        self.world.worker.rows("start", id=id_, token=token, started_at=datetime.now(UTC), node=NODE)
        self.model.start(token, id_)

    @needs("runs")
    @rule(nth=nth, place=st.integers(0, 2))
    def progress(self, nth: int, place: int) -> None:
        token = self._of(self.runs, nth)
        id_ = self.carried[token][place % len(self.carried[token])]
        now = datetime.now(UTC)
        self.world.worker.rows("progress", id=id_, token=token, started_at=now, node=NODE, progress="1")
        self.model.start(token, id_)

    @needs("runs")
    @rule(nth=nth, ends=kinds, skip=st.integers(0, 2), chain=st.booleans())
    def flush(self, nth: int, ends: list[Kind], skip: int, chain: bool) -> None:
        """Record outcomes of some of a lease's jobs; the first may have a next job."""
        token = self._of(self.runs, nth)
        self._finish(token, list(zip(self.carried[token][skip:], ends, strict=False)), done=False, chain=chain)

    @needs("runs")
    @rule(nth=nth, others=some)
    def give_back(self, nth: int, others: list[int]) -> None:
        token = self._of(self.runs, nth)
        ids = [*self.carried[token][1:], *(self._of(self.jobs, other) for other in others)]
        moved = {row[0] for row in self.world.worker.rows("give_back", ids=ids, token=token)}
        assert moved == self.model.give_back(token, ids)

    @needs("runs")
    @rule(nth=nth, ends=kinds, chain=st.booleans())
    def close(self, nth: int, ends: list[Kind], chain: bool) -> None:
        """The worker is through: outcomes for what it began, the rest goes back, and the lease ends."""
        self._close(self._of(self.runs, nth), ends, chain=chain)

    def _close(self, token: UUID, ends: list[Kind], *, chain: bool = False) -> None:
        ids = self.carried[token]
        rest = ids[len(ends) :]
        moved = {row[0] for row in self.world.worker.rows("give_back", ids=rest, token=token)}
        assert moved == self.model.give_back(token, rest)
        ended = [*zip(ids, ends, strict=False), *((id_, COMPLETED) for id_ in rest if id_ not in moved)]
        self._finish(token, ended, done=True, chain=chain)

    def _finish(self, token: UUID, ended: list[tuple[UUID, Kind]], *, done: bool, chain: bool) -> None:
        next_id = uuid4()
        now = datetime.now(UTC)
        outcomes = [
            Outcome(id_, kind.state, kind.end, now, now, delay=kind.hours * HOUR or None, spent=kind.spent)
            for id_, kind in ended
        ]
        if chain and outcomes:
            outcomes[0].next_jobs = [NewJob(task="long", id=next_id)]
        recorder = Recorder(self.world.worker, NODE)
        recorder._token = token
        moved = recorder._write(recorder._link, outcomes, done=done)
        assert moved == self.model.finish(token, ended, done=done)
        if chain and ended and ended[0][0] in moved:
            self._enqueued(next_id)

    # Those who take back and those who intervene

    @needs("messages")
    @rule(nth=nth, won=st.booleans(), begun=begun, strike=st.booleans())
    def lose(self, nth: int, won: bool, begun: int | None, strike: bool) -> None:
        token = self._of(self.messages, nth)
        got = lose(
            self.world.worker, token, settings_of_test(), won=won, begun=begun, reason="it was cut off", strike=strike
        )
        assert got == self.model.lose(token, won=won, begun=begun, strike=strike)

    @rule(which=st.booleans())
    def recover(self, which: bool) -> None:
        Sweeper(self.world.dispatchers[which].link, settings_of_test()).recover()
        for token, won, strike in self.model.lost_leases():
            self.model.lose(token, won=won, begun=None, strike=strike)

    @needs("jobs")
    @rule(nths=some, running=st.booleans())
    def cancel(self, nths: list[int], running: bool) -> None:
        ids = [self._of(self.jobs, nth) for nth in nths]
        now, asked = engine.cancel(ids, actor="ada", running=running)
        assert (set(now), set(asked)) == self.model.cancel(ids, running=running)

    @needs("jobs")
    @rule(nths=some)
    def requeue(self, nths: list[int]) -> None:
        ids = [self._of(self.jobs, nth) for nth in nths]
        assert set(engine.requeue(ids, actor="ada")) == self.model.requeue(set(ids))

    def _of(self, known: list[UUID], nth: int) -> UUID:
        return known[-1 - nth % len(known)]

    # After every step

    @invariant()
    def agrees(self) -> None:
        before, self.seen = self.seen, read(self.world.eye)
        check(self.seen)
        check_step(before, self.seen)
        compare(self.model, self.seen)

    def teardown(self) -> None:
        """Without further faults every job comes to its end."""
        try:
            if sys.exc_info()[0] is None:  # a step that failed says enough
                self._come_to_rest()
        finally:
            if self.open:
                self.open[0].__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
            connection.close_if_unusable_or_obsolete()

    def _come_to_rest(self) -> None:
        if self.open:
            self.end_the_long_transaction(commit=True)
            self.agrees()
        for queue in QUEUES:
            self.pause(queue, paused=False)
        self.start_a_worker()
        for _ in range(60):
            if all(job.state in FINAL for job in self.model.jobs.values()):
                return
            self.time_passes(1)
            for sweep in (self.recover, self.promote, self.dispatch):
                sweep(which=True)
                self.agrees()
            self.expire()
            self.agrees()
            for token in list(self.model.leases):
                self.win(nth=len(self.messages) - 1 - self.messages.index(token), boot=0, again=False)
                self.agrees()
                self._close(token, [COMPLETED])
                self.agrees()
        raise AssertionError(f"they never end: {[job for job in self.model.jobs.values() if job.state not in FINAL]}")
