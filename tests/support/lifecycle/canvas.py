"""Chords: members that end in any way, and a body that waits for them."""

from hypothesis import strategies as st
from hypothesis.stateful import rule
from kombu.utils.json import dumps

from jobs.engine.chords import RESULTS, NewChord, enqueue_chords
from jobs.engine.enqueue import NewJob
from jobs.engine.maintenance import Sweeper

from .producers import Producers, endings
from .stage import HOUR, settings_of_test


class Canvas(Producers):
    @rule(size=st.integers(1, 3), countdown=st.sampled_from([0, 0, 1]), ending=endings)
    def enqueue_chord(self, size: int, countdown: int, ending: str = "at once") -> None:
        chord, body, *members = (self.new_id() for _ in range(size + 2))
        made = NewChord(id=chord, size=size, members=dumps([str(member) for member in members]))
        last = NewJob(task="long", id=body, after=chord, args=dumps([RESULTS]))
        if countdown:
            last.options = dumps({"countdown": countdown * HOUR})
        with self.ending(ending):
            enqueue_chords([made], [*(NewJob(task="short", id=member, chord=chord) for member in members), last])
            self.model.enqueue_chord(chord, members, body, countdown)
        if body in self.model.jobs:
            self.known(body, *members)

    @rule(which=st.booleans())
    def judge(self, which: bool) -> None:
        """The sweep behind the finish: whoever waits for nothing any more goes on."""
        Sweeper(self.world.dispatchers[which].link, settings_of_test()).judge()
        self.model.judge()
