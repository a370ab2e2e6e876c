"""Run what is enqueued, in this process, through the statements and the code of dispatcher and worker."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any
from uuid import UUID, uuid4

from celery import Celery, current_app
from django.db import DatabaseError, connections, transaction
from psycopg import DataError, errors

from ..app.current import Current, current
from ..app.runner import Runner
from ..conf import jobs_settings
from ..engine.dispatch import front
from ..engine.execute import Place, Run, carry
from ..engine.link import CallersLink, Link, jobs_alias
from ..engine.maintenance import Sweeper
from ..engine.record import Recorder
from ..engine.slots import Slots
from ..engine.workers import stop
from ..errors import JobsError
from ..models import Job
from ..policy import Outcome
from ..states import End, State
from ..wire import ANY_QUEUE
from .committed import as_if_committed, in_test, kept_whole

NODE = "run_jobs"
MOST = 10_000
"""Jobs that one call runs without a `limit`: more are likely to call each other for ever."""
FALLIBLE = frozenset({"finish", "progress"})
"""Statements that carry what a task has made, which may not fit."""


class JobFailed(JobsError, AssertionError):
    """A job failed without an exception of its own that could be raised here."""


def run_jobs(limit: int | None = None, *, queue: str | None = None, raise_failures: bool = True) -> list[Job]:
    """Run the jobs that are ready, and those that they enqueue, until none is left or `limit` have run.

    Each travels alone, in the order of the dispatcher: queue by queue, the best rank first; paused queues wait. Jobs
    that are scheduled or wait for a retry run once their time has come (`time_travel`). In a TestCase, or with
    pytest's `db`, the test's transaction counts as committed: callbacks of `on_commit` are called, those that the
    test registered before first.

    A failure is raised here as the job raised it, after it was recorded, unless the task itself asked for a retry;
    `raise_failures=False` records it only. Returns the jobs that ran, each as it was right after its run. Hard time
    limits and cancellations of a running job need a worker: nothing is killed here.
    """
    _refuse_where_no_worker_would_see()
    ran: list[Job] = []
    with as_if_committed(), _place() as place:
        runner = _Runner(_app(), place)
        for job_id, token in _leased(place, queue):
            carry(token, place, runner.run)
            job = Job.objects.using(jobs_alias()).get(pk=job_id)
            ran.append(job)
            if raise_failures:
                runner.raise_failure(job)
            if len(ran) == limit:
                break
            if limit is None and len(ran) == MOST:
                raise JobsError(
                    f"run_jobs() has run {MOST:,} jobs and is not at the end; the last was {job.task}. Does a task "
                    "enqueue itself? run_jobs(limit=…) runs so many and stops."
                )
    return ran


class _Runner(Runner):
    """A worker's, which remembers the exception of the last job."""

    failure: BaseException | None = None

    def run(self, run: Run) -> Outcome:
        self.failure = None
        with kept_whole():
            return self(run)

    def _traced(self, running: Current) -> tuple[Outcome, Any]:
        outcome, traced = super()._traced(running)
        by_policy = running.policy_retry
        not_run = traced is None and outcome.end == End.RETRIED
        if running.committed is None and (by_policy or not_run or outcome.end == End.FAILED):
            error = by_policy or getattr(getattr(traced, "info", None), "retval", None)
            self.failure = error if isinstance(error, Exception) else JobFailed(outcome.error or outcome.state)
        return outcome, traced

    def raise_failure(self, job: Job) -> None:
        failure = self.failure
        if failure is None and job.state in (State.DEAD_LETTER, State.FAILED):
            failure = JobFailed(job.error or job.state)
        if failure is not None:
            failure.add_note(
                f"Raised by job {job.pk} ({job.task}), which is {job.state} now. "
                "run_jobs(raise_failures=False) records failures only."
            )
            raise failure


class InlineLink(Link):
    """A worker's connection that is the test's own.

    What the engine knows how to answer is raised as the driver's error, as on a Link; all else ends the test.
    """

    def rows(self, name: str, /, **params: Any) -> list[tuple]:
        alias = jobs_alias()
        try:
            # In a savepoint, or its failure would break the test's transaction; the others don't fail.
            with transaction.atomic(using=alias) if name in FALLIBLE else nullcontext():
                return CallersLink(alias).rows(name, **params)
        except DatabaseError as error:
            if isinstance(error.__cause__, DataError | errors.LockNotAvailable | errors.DeadlockDetected):
                raise error.__cause__ from None
            raise

    def insist(self, name: str, /, *, patience: float = 0.0, **params: Any) -> list[tuple]:
        return self.rows(name, **params)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with transaction.atomic(using=jobs_alias()):
            yield


def _refuse_where_no_worker_would_see() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise JobsError("run_jobs() was called in a coroutine: await sync_to_async(run_jobs)().")
    if current() is not None:
        raise JobsError("run_jobs() was called inside a job: the call that runs this job runs what it enqueues, too.")
    connection = connections[jobs_alias()]
    if connection.in_atomic_block and not in_test(connection):
        raise JobsError(
            "run_jobs() was called inside atomic(): no worker would see the jobs of a transaction that is still open. "
            "Call it after the block."
        )


@contextmanager
def _place() -> Iterator[Place]:
    """A worker of this test: one slot, no heartbeat, no thread."""
    link, boot = InlineLink("run_jobs"), uuid4()
    link.rows("register", id=boot, name=NODE, host=NODE, pid=os.getpid(), slots=1, queues=[], gone=[])
    try:
        yield Place(boot, NODE, 0, Slots(1), link, Recorder(link, NODE, threaded=False), keeps_connections=True)
    finally:
        stop(link, boot)


def _leased(place: Place, queue: str | None) -> Iterator[tuple[UUID, UUID]]:
    """Job and lease, one after the other, while there are any."""
    aging_us = jobs_settings().aging * 1_000_000
    sweeper = Sweeper(place.link, jobs_settings())
    while True:
        sweeper.sweep()
        place.link.rows("promote", limit=1000, aging_us=aging_us)
        none = True
        for lease in _turns(place, queue, aging_us):
            none = False
            yield lease
        if none:
            return


def _turns(place: Place, queue: str | None, aging_us: int) -> Iterator[tuple[UUID, UUID]]:
    """The best job of each queue in turn, until a round finds none."""
    found = True
    while found:
        found = False
        for name in _ready(place, queue, aging_us):
            if (lease := _lease(place, name)) is not None:
                found = True
                yield lease


def _ready(place: Place, queue: str | None, aging_us: int) -> list[str]:
    names = []
    for name, paused, known, *_ in sorted(place.link.rows("ready_queues")):
        if not known:
            place.link.rows("add_queue", name=name, aging_us=aging_us)
        if not paused and queue in (None, name):
            names.append(name)
    return names


def _lease(place: Place, queue: str) -> tuple[UUID, UUID] | None:
    token = uuid4()
    for job in front(place.link, queue, limit=1):
        place.link.rows("dispatch", queue=queue, routing_key=ANY_QUEUE, ids=[job.id], tokens=[token], places=None)
        return job.id, token
    return None


@cache
def _app() -> Celery:
    """The project's Celery app with the tasks of every installed app, which a test has not imported yet."""
    app = current_app._get_current_object()
    app.loader.import_default_modules()
    return app
