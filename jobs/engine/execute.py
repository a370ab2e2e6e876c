"""Room 3: win a lease, run its jobs in order, hand each outcome to the recorder."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from kombu.utils.json import loads

from ..conf import jobs_settings
from ..policy import Outcome
from ..states import End, State
from .link import Link
from .record import LONGEST_ERROR, Recorder, clean
from .slots import Slots

logger = logging.getLogger("jobs")

WIN_PATIENCE = 20.0
"""Seconds to insist on winning while the database is away; after that the lease expires and is sent anew."""


@dataclass(slots=True)
class Run:
    """One job as its worker sees it; `options` are Celery's call options."""

    id: UUID
    task: str
    args: list
    kwargs: dict
    options: dict[str, Any]
    attempt: int
    retries: int
    max_retries: int | None
    priority: int
    expires_at: str | None
    queue: str
    token: UUID
    started_at: datetime
    alone: bool

    @property
    def time_limit(self) -> float | None:
        """Hard limit in seconds: the call's or the task's, else JOBS_TIMEOUT."""
        return self.options.get("time_limit") or jobs_settings().timeout or None

    @property
    def soft_time_limit(self) -> float | None:
        return self.options.get("soft_time_limit")


@dataclass(slots=True)
class Place:
    """Where jobs run: one child process or thread of a worker."""

    worker: UUID
    node: str
    index: int
    slots: Slots
    link: Link
    recorder: Recorder


def carry(token: UUID, place: Place, run: Callable[[Run], Outcome]) -> int:
    """Run every job of a lease; returns how many ran. 0: the lease was won, returned or forged."""
    won_at_monotonic = time.monotonic()
    place.slots.write(place.index, token, 0, won_at_monotonic)
    rows = place.link.insist(
        "win", patience=WIN_PATIENCE, token=token, worker=place.worker, node=place.node, receipt=uuid4()
    )
    if not rows:
        place.slots.clear(place.index)
        logger.info("lease is void: nothing to run", extra={"lease": str(token)})
        return 0
    queue, payload, won_at = rows[0]
    jobs = _read(payload, token, place.link)
    place.recorder.open(token)
    ran = done = 0
    try:
        for ran, job in enumerate(_until_budget(jobs, won_at_monotonic, place), start=1):
            started_at = won_at + timedelta(seconds=time.monotonic() - won_at_monotonic)
            as_run = _as_run(job, queue, token, started_at, alone=len(jobs) == 1)
            place.slots.write(
                place.index, token, ran, time.monotonic(), job_id=as_run.id, limit=as_run.time_limit or 0.0
            )
            place.recorder.begin(as_run.id, started_at, shown=as_run.alone)
            outcome = _unreadable(as_run) if isinstance(as_run.args, Exception) else run(as_run)
            outcome.finished_at = won_at + timedelta(seconds=time.monotonic() - won_at_monotonic)
            outcome.progress = place.recorder.take_progress()
            # Before the outcome is kept, not after: a limit that strikes now must not kill a job that has ended.
            place.slots.write(place.index, token, ran, time.monotonic())
            place.recorder.add(outcome)
            done = ran
    finally:
        # Also when the process is told to end: what is done stays done, what was not started goes back. A run that
        # was cut off has no outcome, so its lease stays until someone takes it back with `lose`.
        place.recorder.close(unstarted=[UUID(job[0]) for job in jobs[ran:]], end=done == ran)
    place.slots.clear(place.index)
    return ran


def held(link: Link, token: UUID, job_id: UUID) -> Run | None:
    """A job that a lease still holds, without its arguments; None if it was recorded or taken back."""
    rows = link.rows("held", id=job_id, token=token)
    if not rows:
        return None
    id_, task, options, attempt, retries, max_retries, priority, queue, started_at = rows[0]
    job = [id_, task, [], {}, loads(options) if options else None, attempt, retries, max_retries, priority, None]
    return _as_run(job, queue, token, started_at, alone=True)


def _until_budget(jobs: list[list], since: float, place: Place) -> Iterator[list]:
    budget = jobs_settings().carrier_budget
    for index, job in enumerate(jobs):
        if index and (time.monotonic() - since > budget or place.slots.stopping):
            return
        yield job


def _read(payload: str, token: UUID, link: Link) -> list[list]:
    """The lease's jobs with their arguments; long arguments come from the job rows."""
    try:
        jobs = loads(payload)
    except Exception:
        jobs = [_readable(job) for job in json.loads(payload)]
    absent = [UUID(job[0]) for job in jobs if job[2] is None]
    if absent:
        kept = {str(row[0]): row[1:] for row in link.rows("fetch", ids=absent, token=token)}
        for job in jobs:
            if job[0] in kept:
                job[2:5] = [json.loads(text) if text else None for text in kept[job[0]]]
                job[:] = _readable(job)
        jobs = [job for job in jobs if job[2] is not None]
    return jobs


def _readable(job: list) -> list:
    """Celery's types in one job's arguments and options; the error in place of the arguments if one is unknown here."""
    try:
        return [*job[:2], *loads(json.dumps(job[2:5])), *job[5:]]
    except Exception as error:
        return [*job[:2], error, {}, {}, *job[5:]]


def _unreadable(run: Run) -> Outcome:
    error = f"No worker here can read the job's arguments: {run.args}. Deploy the code that can, then requeue the job."
    return Outcome(
        run.id, State.DEAD_LETTER, End.FAILED, run.started_at, run.started_at, error=clean(error, LONGEST_ERROR)
    )


def _as_run(job: list, queue: str, token: UUID, started_at: datetime, *, alone: bool) -> Run:
    id_, task, args, kwargs, options, attempt, retries, max_retries, priority, expires_at = job
    return Run(
        UUID(id_),
        task,
        args,
        kwargs,
        options or {},
        attempt,
        retries,
        max_retries,
        priority,
        expires_at,
        queue,
        token,
        started_at,
        alone,
    )
