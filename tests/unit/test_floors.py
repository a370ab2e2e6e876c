"""When a claim begins where the last one ended, and when at the front of its queue."""

from uuid import UUID

from jobs.engine.floors import LATEST, LOWEST, Floors

POSITION = (7, UUID(int=7))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def looked(floors: Floors, clock: Clock, queue: str | None, *, cost: float) -> None:
    with floors.looking(queue):
        clock.now += cost


def test_the_first_claim_of_a_queue_begins_at_its_front() -> None:
    assert Floors(Clock()).floor("q") == LOWEST


def test_looks_at_the_whole_take_a_share_of_the_time() -> None:
    clock = Clock()
    floors = Floors(clock, share=0.1)
    looked(floors, clock, "q", cost=0.05)
    floors.leased("q", POSITION)
    clock.now += 0.49
    assert floors.floor("q") == POSITION
    clock.now += 0.02
    assert floors.floor("q") == LOWEST


def test_one_that_costs_much_is_made_each_second_all_the_same() -> None:
    clock = Clock()
    floors = Floors(clock)
    looked(floors, clock, "q", cost=3.0)
    floors.leased("q", POSITION)
    clock.now += LATEST - 0.01
    assert floors.floor("q") == POSITION
    clock.now += 0.02
    assert floors.floor("q") == LOWEST


def test_queues_have_floors_of_their_own_and_the_list_of_queues_its_own_time() -> None:
    clock = Clock()
    floors = Floors(clock)
    looked(floors, clock, "q", cost=0.01)
    floors.leased("q", POSITION)
    assert floors.floor("another") == LOWEST
    assert floors.is_due(None)
    looked(floors, clock, None, cost=0.01)
    assert not floors.is_due(None)
