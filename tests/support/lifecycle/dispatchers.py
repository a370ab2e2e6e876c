"""Dispatchers: two of them, at once or in turn, and the time that goes by for their sweeps."""

from uuid import UUID

from django.utils import timezone
from hypothesis import strategies as st
from hypothesis.stateful import rule

from jobs import engine
from jobs.engine.dispatch import front
from jobs.engine.link import Link
from jobs.engine.window import WINDOW
from jobs.models import Queue
from jobs.wire import ANY_QUEUE

from .producers import KEYS
from .snapshot import read
from .stage import QUEUES, Stage, queues


class Dispatchers(Stage):
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
            assert sum(after.places.values()) <= WINDOW * len(self.model.alive), "more messages than the window holds"
        for token, (_, ids, _) in made.items():
            if len(ids) > 1:
                lives = {(id_, before.jobs[id_].epoch) for id_ in ids}
                assert not any(end == "lost" for *life, _, end in before.attempts if tuple(life) in lives), "alone"
            self._leased(token, ids, place=after.places[token])
        aside = {id_ for id_, job in after.jobs.items() if job.state == "paused" != before.jobs[id_].state}
        assert self.model.hold(aside) == aside, "set aside without a pause"
        self._all_arrived(made)

    def _all_arrived(self, made) -> None:
        waiting = self.world.broker._connection.SimpleQueue(ANY_QUEUE)
        messages = [waiting.get(timeout=5).payload[0][1:] for _ in range(self.world.broker.length(ANY_QUEUE))]
        arrived = [token for tokens in messages for token in tokens]
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
        ready = [] if queue in self.model.paused else self._in_rank_order(queue, self.seen)
        expected = [id_ for id_ in ready if id_ not in (taken or ())]
        assert ids == expected[:limit], "the front of the queue is the best ranked that nobody holds"
        self._lease(link, queue, ids, share)

    def _lease(self, link: Link, queue: str, ids: list[UUID], share: int) -> None:
        if not ids:
            return
        groups = [ids[start : start + share] for start in range(0, len(ids), share)]
        tokens = [self.new_id() for _ in groups]
        spread = [token for token, group in zip(tokens, groups, strict=True) for _ in group]
        made = link.rows("dispatch", queue=queue, routing_key=ANY_QUEUE, ids=ids, tokens=spread, places=None)
        assert [row[0] for row in made] == tokens
        for token, group in zip(tokens, groups, strict=True):
            self._leased(token, group)

    def _leased(self, token: UUID, ids: list[UUID], *, place: float = 1.0) -> None:
        self.model.dispatch(token, ids, place)
        self.carried[token] = list(ids)
        self.messages.append(token)

    def _in_rank_order(self, queue: str, now) -> list[UUID]:
        return sorted(self.model.ready(queue), key=lambda id_: (now.jobs[id_].rank, id_))

    @rule(key=st.sampled_from(KEYS), paused=st.booleans())
    def pause_key(self, key: str, paused: bool) -> None:
        verb = engine.pause if paused else engine.resume
        assert verb("key", key, actor="ada") in (None, self.model.pause(key, paused))

    @rule(which=st.booleans(), queue=queues, limit=st.integers(1, 4))
    def hold(self, which: bool, queue: str, limit: int) -> None:
        link = self.world.dispatchers[which].link
        pending = {id_ for id_, job in self.model.jobs.items() if (job.queue, job.state) == (queue, "pending")}
        front = sorted(pending, key=lambda id_: (self.seen.jobs[id_].rank, id_))[:limit]
        found = link.rows("hold", queue=queue, limit=limit)
        assert [(row[2], row[3]) for row in found] == ([(len(front), len(self.model.hold(front)))] if front else [])

    @rule(which=st.booleans())
    def resume(self, which: bool) -> None:
        """One call lets those of one pause go."""
        link = self.world.dispatchers[which].link
        moved: set[UUID] = set()
        while found := {row[0] for row in link.rows("resume", limit=1000)}:
            moved |= found
        assert moved == self.model.resume()

    @rule(queue=queues, paused=st.booleans())
    def pause(self, queue: str, paused: bool) -> None:
        Queue.objects.update_or_create(name=queue, defaults={"paused_at": timezone.now() if paused else None})
        (self.model.paused.add if paused else self.model.paused.discard)(queue)

    @rule(hours=st.integers(1, 3))
    def time_passes(self, hours: int) -> None:
        self.model.now += hours
        by = f"- interval '{hours} h'"
        self.world.eye._open().execute(
            f"UPDATE jobs_job SET run_at = run_at {by}, expires_at = expires_at {by}, unique_until = unique_until {by};"
            f"UPDATE jobs_lease SET sent_at = sent_at {by}"
        )
