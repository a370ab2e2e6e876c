"""What every rule may use: connections that outlive an example, the model, what was made so far; what holds after each.

Messages are lease tokens; they are kept for ever, so each is delivered late, twice, to the wrong worker, or never.
"""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition

from jobs.conf import jobs_settings
from jobs.engine.broker import Broker
from jobs.engine.dispatch import Dispatcher
from jobs.engine.link import Link
from tests.support.engine import empty, empty_tables

from .model import POISON_AFTER, Model
from .snapshot import check, check_step, compare, read

QUEUES = ("default", "other")
HOUR = 3600.0

queues = st.sampled_from(QUEUES)
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


class Stage(RuleBasedStateMachine):
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
        self.last_id = 0
        self.open: tuple[ExitStack, list[UUID]] | None = None

    def new_id(self) -> UUID:
        """The same ones when an example is repeated: jobs of one rank stand in the order of their ids."""
        self.last_id += 1
        return UUID(int=self.last_id)

    def of(self, known: list[UUID], nth: int) -> UUID:
        return known[-1 - nth % len(known)]

    def known(self, *ids: UUID) -> None:
        self.jobs += [id_ for id_ in ids if id_ not in self.jobs]

    @invariant()
    def agrees(self) -> None:
        before, self.seen = self.seen, read(self.world.eye)
        check(self.seen)
        check_step(before, self.seen)
        compare(self.model, self.seen)
