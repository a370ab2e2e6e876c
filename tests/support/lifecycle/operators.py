"""Those who take back and those who intervene: reapers and operators."""

from datetime import timedelta

from django.utils import timezone
from hypothesis import strategies as st
from hypothesis.stateful import rule

from jobs import engine
from jobs.engine.maintenance import Sweeper, lose

from .stage import Stage, needs, nth, settings_of_test, some

begun = st.none() | st.integers(0, 3)


class Operators(Stage):
    @needs("messages")
    @rule(nth=nth, won=st.booleans(), begun=begun, strike=st.booleans())
    def lose(self, nth: int, won: bool, begun: int | None, strike: bool) -> None:
        token = self.of(self.messages, nth)
        got = lose(
            self.world.worker, token, settings_of_test(), won=won, begun=begun, reason="it was cut off", strike=strike
        )
        assert got == self.model.lose(token, won=won, begun=begun, strike=strike)

    @rule(which=st.booleans())
    def recover(self, which: bool) -> None:
        Sweeper(self.world.dispatchers[which].link, settings_of_test()).recover()
        for token, won, strike in self.model.lost_leases():
            self.model.lose(token, won=won, begun=None, strike=strike)

    @rule(which=st.booleans())
    def adopt(self, which: bool) -> None:
        sweeper = Sweeper(self.world.dispatchers[which].link, settings_of_test(), clock=lambda: 0.0)
        sweeper._adopt_at = 0.0
        assert sweeper.adopt() == 0, "a lease is gone"

    @needs("jobs")
    @rule(nths=some, running=st.booleans())
    def cancel(self, nths: list[int], running: bool) -> None:
        ids = [self.of(self.jobs, nth) for nth in nths]
        now, asked = engine.cancel(ids, actor="ada", running=running)
        assert (set(now), set(asked)) == self.model.cancel(ids, running=running)

    @needs("jobs")
    @rule(nths=some, hours=st.integers(-1, 2))
    def postpone(self, nths: list[int], hours: int) -> None:
        ids = [self.of(self.jobs, nth) for nth in nths]
        moved = engine.postpone(ids, timezone.now() + timedelta(hours=hours), actor="ada")
        assert set(moved) == self.model.postpone(ids, max(0, hours))

    @needs("jobs")
    @rule(nths=some)
    def requeue(self, nths: list[int]) -> None:
        ids = [self.of(self.jobs, nth) for nth in nths]
        assert set(engine.requeue(ids, actor="ada")) == self.model.requeue(ids)

    @rule(key=st.sampled_from([("short", "a"), ("short", "b"), ("long", "a")]))
    def requeue_all_of_a_key(self, key: tuple[str, str]) -> None:
        ids = [id_ for id_, job in self.model.jobs.items() if job.given == key]
        assert set(engine.requeue(ids, actor="ada")) == self.model.requeue(ids)

    @needs("jobs")
    @rule(nths=some, points=st.sampled_from([-200, -20, 0, 5, 200]))
    def boost(self, nths: list[int], points: int) -> None:
        ids = [self.of(self.jobs, nth) for nth in nths]
        assert engine.boost(ids, points, actor="ada") == self.model.prioritise(ids, lambda old: old + points)

    @needs("jobs")
    @rule(nths=some, priority=st.sampled_from([-100, 0, 33, 100]))
    def set_priority(self, nths: list[int], priority: int) -> None:
        ids = [self.of(self.jobs, nth) for nth in nths]
        assert engine.set_priority(ids, priority, actor="ada") == self.model.prioritise(ids, lambda _: priority)
