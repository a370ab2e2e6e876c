"""The machine: every rule together, how it begins, and how it comes to rest."""

import sys

from django.db import connection
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from jobs.engine.enqueue import NewJob
from jobs.states import FINAL, State

from .canvas import Canvas
from .dispatchers import Dispatchers
from .model import Kind
from .operators import Operators
from .producers import KEYS, conflicts
from .snapshot import read
from .stage import QUEUES, nth
from .workers import COMPLETED, KINDS, Workers


class Lifecycle(Canvas, Dispatchers, Workers, Operators):
    @initialize(
        count=st.integers(1, 5),
        share=st.integers(1, 3),
        members=st.integers(0, 3),
        key=st.booleans(),
        win=st.booleans(),
    )
    def begin_at_work(self, count: int, share: int, members: int, key: bool, win: bool) -> None:
        self.start_a_worker()
        if key:
            self.enqueue_unique(("short", "a"), "existing")
        for _ in range(count):
            self._enqueue(NewJob(task="short", id=self.new_id()))
        if members:
            self.enqueue_chord(members, countdown=0)
        self.seen = read(self.world.eye)
        self.claim(which=True, queue="default", share=share, limit=4)
        if win:
            self.win(nth=0, boot=0, again=False)
        self.seen = read(self.world.eye)

    # Stories that chance alone tells too seldom

    @rule(nth=nth)
    def run_a_job_with_a_key(self, nth: int) -> None:
        ready = [id_ for id_, job in self.model.jobs.items() if job.key and id_ in self.model.ready(job.queue)]
        if not ready:
            return
        chosen = self.of(ready, nth)
        link = self.world.dispatchers[0].link
        with link.transaction():
            self._lease(link, self.model.jobs[chosen].queue, [chosen], 1)
        self.agrees()
        self.win(nth=0, boot=0, again=False)

    @rule(nth=nth, kind=st.sampled_from(KINDS), on_conflict=conflicts, again=st.none() | nth)
    def end_what_is_waited_for(self, nth: int, kind: Kind, on_conflict: str, again: int | None) -> None:
        """A job is over that one with a key waits for, and somebody calls for that key before anybody looks."""
        waiting = [job for job in self.model.jobs.values() if job.state == State.BLOCKED and job.key]
        running = [job for job in waiting if self.model.jobs[job.after].lease in self.runs]
        if running:
            job = running[nth % len(running)]
            self._finish(self.model.jobs[job.after].lease, [(job.after, kind)], done=False, chain=False)
            self.agrees()
            self.enqueue_unique(job.key, on_conflict, again=again)

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
        for key in KEYS:
            self.pause_key(key, paused=False)
        self.resume(which=True)
        self.agrees()
        self.start_a_worker()
        for _ in range(60):
            if all(job.state in FINAL for job in self.model.jobs.values()):
                return
            self.time_passes(1)
            for sweep in (self.recover, self.judge, self.promote, self.dispatch):
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
