"""Producers: calls that are committed or not, under new ids and old ones, with and without a unique key."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy

import pytest
from django.db import transaction
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from jobs.engine.enqueue import NewJob, enqueue, enqueue_in
from jobs.engine.newjob import CONFLICTS
from jobs.errors import DuplicateJob
from jobs.states import LEASED

from .stage import HOUR, Stage, needs, nth, queues

ENDINGS = ("at once", "at once", "commit", "rollback", "savepoint")
endings = st.sampled_from(ENDINGS)
conflicts = st.sampled_from(CONFLICTS)
KEYS = ("a", "b")


class Producers(Stage):
    @rule(
        queue=queues,
        priority=st.sampled_from([0, 10, 10, 90]),
        hours=st.sampled_from([0, 0, 0, 1, 3]),
        expires=st.sampled_from([None, None, None, 0, 1, 2]),
        task=st.sampled_from(["short", "short", "long"]),
        ending=endings,
    )
    def enqueue(self, queue: str, priority: int, hours: int, expires: int | None, task: str, ending: str) -> None:
        until = None if expires is None else expires * HOUR
        delay = hours * HOUR or None
        job = NewJob(task=task, id=self.new_id(), queue=queue, priority=priority, delay=delay, expires=until)
        self._enqueue(job, ending)

    @needs("jobs")
    @rule(nth=nth, hours=st.sampled_from([0, 1]), ending=endings)
    def enqueue_again(self, nth: int, hours: int, ending: str) -> None:
        self._enqueue(NewJob(task="short", id=self.of(self.jobs, nth), delay=hours * HOUR or None), ending)

    def _enqueue(self, job: NewJob, ending: str = "at once") -> None:
        with self.ending(ending):
            assert enqueue(job) == job.id
            hours, expires = round((job.delay or 0) / HOUR), None if job.expires is None else round(job.expires / HOUR)
            self.model.enqueue(job.id, job.queue, hours, expires, priority=job.priority)
        if job.id in self.model.jobs:
            self.known(job.id)

    @contextmanager
    def ending(self, ending: str) -> Iterator[None]:
        """The block's calls are committed or not; if not, the model has not seen them either."""
        if ending == "at once":
            yield
            return
        before = deepcopy(self.model)
        with transaction.atomic():
            inner = transaction.savepoint()
            yield
            if ending == "savepoint":
                transaction.savepoint_rollback(inner)
            if ending == "rollback":
                transaction.set_rollback(True)
        if ending != "commit":
            self.model = before

    @precondition(lambda self: self.open is None)
    @rule(count=st.integers(1, 3))
    def begin_a_long_transaction(self, count: int) -> None:
        ids = [self.new_id() for _ in range(count)]
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
            self.model.enqueue(id_)
        self.known(*ids)

    # Unique keys

    @rule(
        key=st.sampled_from([("short", "a"), ("short", "a"), ("short", "b"), ("long", "a")]),
        on_conflict=conflicts,
        hours=st.sampled_from([0, 0, 0, 1]),
        lasts=st.sampled_from([None, None, 1, 2]),
        again=st.none() | nth,
        ending=endings,
    )
    def enqueue_unique(
        self,
        key: tuple[str, str],
        on_conflict: str,
        hours: int = 0,
        lasts: int | None = None,
        again: int | None = None,
        ending: str = "at once",
    ) -> None:
        id_ = self.new_id() if again is None or not self.jobs else self.of(self.jobs, again)
        with self.ending(ending):
            expected, is_refused = self.model.enqueue_unique(id_, key, on_conflict, hours=hours, lasts=lasts)
            job = NewJob(
                task=key[0],
                id=id_,
                unique_key=key[1],
                unique_for=None if lasts is None else lasts * HOUR,
                delay=hours * HOUR or None,
                on_conflict=on_conflict,
            )
            if is_refused:
                with pytest.raises(DuplicateJob) as refused:
                    enqueue(job)
                assert refused.value.job_id == expected
            else:
                assert enqueue(job) == expected
        if id_ in self.model.jobs:
            self.known(id_)

    @needs("jobs")
    @rule(on_conflict=conflicts, nth=nth)
    def enqueue_against_a_holder(self, on_conflict: str, nth: int) -> None:
        holders = [job.key for job in self.model.jobs.values() if job.key]
        if holders:
            self.enqueue_unique(holders[nth % len(holders)], on_conflict)

    @rule(nth=nth, times=st.integers(1, 3), hours=st.sampled_from([0, 0, 1]), again=st.none() | nth)
    def replace_what_runs(self, nth: int, times: int, hours: int, again: int | None) -> None:
        """The first waits for the running one, each further one takes its place in that."""
        holders = [job.key for job in self.model.jobs.values() if job.key and job.state in LEASED]
        for _ in range(times if holders else 0):
            self.enqueue_unique(holders[nth % len(holders)], "replace", hours, again=again)
            self.agrees()

    @rule()
    def release_keys(self) -> None:
        moved = {row[0] for row in self.world.worker.rows("release_keys", limit=1000)}
        assert moved == self.model.release_keys()
