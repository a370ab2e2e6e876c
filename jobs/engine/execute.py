"""Room 3: win a lease, run its jobs in order, hand each outcome to the recorder."""

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from kombu.utils.json import loads

from ..conf import jobs_settings
from ..policy import Outcome
from ..states import End, State
from .failpoints import failpoint
from .finish import LONGEST_ERROR, clean
from .link import Link
from .record import Recorder
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
    retry_until: str | None = None
    tags: dict[str, str] | None = None
    reference: tuple[str, str] | None = None
    in_chord: bool = False

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
    is_maimed: bool = False
    """A task closed descriptors that are not its own: nothing more may be begun in this process."""
    keeps_connections: bool = False
    """Django's connections are a test's, not the jobs' own: a job that leaves one broken does not close it."""


@dataclass(slots=True)
class Win:
    """A try to win a lease."""

    token: UUID
    place: Place
    receipt: UUID = field(default_factory=uuid4)
    at_monotonic: float = 0.0
    rows: list[tuple] | None = None
    """What the winner gets; [] if the lease was won, returned or forged, None while nothing is known."""

    def show(self) -> None:
        """In the slot, so that the main process knows whose lease it was if this one dies."""
        self.place.slots.write(self.place.index, self.token, 0, time.monotonic())

    def over(self, link: Link) -> None:
        self._answered(link.rows("win", **self._params()))

    def insist(self) -> None:
        self._answered(self.place.link.insist("win", patience=WIN_PATIENCE, **self._params()))

    def _answered(self, rows: list[tuple]) -> None:
        # After the reply, not before the request: times would be ahead of the database's by all that it waited for.
        self.rows, self.at_monotonic = rows, time.monotonic()

    def _params(self) -> dict[str, Any]:
        return {"token": self.token, "worker": self.place.worker, "node": self.place.node, "receipt": self.receipt}


def carry_all(tokens: Sequence[UUID], place: Place, run: Callable[[Run], Outcome]) -> tuple[int, Sequence[UUID]]:
    """Carry the leases of a message one after the other; returns how many jobs ran, and the leases not come to.

    The rest is left when it takes too long or the worker is told to stop.
    """
    until = time.monotonic() + jobs_settings().carrier_budget
    won: Win | None = None
    ran = 0
    for index, token in enumerate(tokens):
        if index and won is None and not _goes_on(place, until):
            return ran, tokens[index:]
        count, won = _carry(won or Win(token, place), place, run, behind=tokens[index + 1 :], until=until)
        ran += count
    return ran, ()


def carry(token: UUID, place: Place, run: Callable[[Run], Outcome]) -> int:
    """Run every job of a lease; returns how many ran. 0: the lease was won, returned or forged."""
    return carry_all([token], place, run)[0]


def _goes_on(place: Place, until: float) -> bool:
    return time.monotonic() <= until and not place.slots.stopping and not place.is_maimed


def _carry(
    win: Win, place: Place, run: Callable[[Run], Outcome], *, behind: Sequence[UUID], until: float
) -> tuple[int, Win | None]:
    """How many jobs of a lease ran, and the next lease, which the commit that ended this one has won if it could."""
    token = win.token
    if win.rows is None:
        win.show()
        failpoint("K1")
        win.insist()
    if not win.rows:
        place.slots.clear(place.index)
        logger.info("lease is void: nothing to run", extra={"lease": str(token)})
        return 0, None
    failpoint("K2")
    queue, payload, won_at, shown = win.rows[0]
    jobs = _read(payload, token, place.link)
    lease = _Won(token, queue, won_at, win.at_monotonic, alone=len(jobs) == 1, shown=shown)
    place.recorder.open(token)
    ran = done = 0
    following: Win | None = None
    try:
        for index, (number, job) in enumerate(jobs):
            if index and (lease.seconds() > jobs_settings().carrier_budget or place.slots.stopping):
                break
            # Counted first: a job that breaks what stands before its run must not end the lease that holds it.
            ran = index + 1
            as_run = _as_run(job, queue, token, lease.now(), alone=lease.alone)
            if not _announced(as_run, lease, place, number, behind=len(jobs) - index - 1 + len(behind)):
                ran = index
                break
            outcome = _run_one(as_run, lease, place, run)
            if not place.link.is_intact():
                place.link.abandon()
                place.is_maimed = True
            # Before the outcome is kept, not after: a limit that strikes now must not kill a job that has ended.
            place.slots.forget_job(place.index)
            place.recorder.add(outcome)
            done = ran
            if place.is_maimed:
                break
        if behind and done == len(jobs) and _goes_on(place, until):
            following = Win(behind[0], place)
            following.show()
    finally:
        # Also when the process is told to end: what is done stays done, what was not started goes back. A run that
        # was cut off has no outcome, so its lease stays until someone takes it back with `lose`.
        went_along = place.recorder.close(
            unstarted=[UUID(job[0]) for _, job in jobs[ran:]],
            end=done == ran,
            along=following.over if following is not None else None,
        )
    failpoint("K7")
    if following is None:
        place.slots.clear(place.index)
    elif not went_along:
        following.rows = None
    return ran, following


@dataclass(slots=True)
class _Won:
    """A lease in this process; its times are on the database's clock."""

    token: UUID
    queue: str
    at: datetime
    at_monotonic: float
    alone: bool
    shown: bool
    """The database has its one job as running since it was won."""

    def seconds(self) -> float:
        return time.monotonic() - self.at_monotonic

    def now(self) -> datetime:
        return self.at + timedelta(seconds=self.seconds())


def _announced(run: Run, lease: _Won, place: Place, number: int, *, behind: int) -> bool:
    """Show the job in the slot; False if the main process took it back, with those behind it.

    Shown first, looked after: the main process halts the lease first and looks at the slot after. One of the two sees
    the other, so no job is both given back and started.
    """
    now = time.monotonic()
    place.slots.write(
        place.index,
        lease.token,
        number,
        now,
        job_id=run.id,
        limit=run.time_limit or 0.0,
        behind=behind,
        since=lease.at_monotonic,
    )
    if place.slots.is_halted(place.index, lease.token):
        place.slots.write(place.index, lease.token, number - 1, now)
        return False
    return True


def _run_one(as_run: Run, lease: _Won, place: Place, run: Callable[[Run], Outcome]) -> Outcome:
    place.recorder.begin(as_run.id, as_run.started_at, shown=lease.shown)
    outcome = _unreadable(as_run) if isinstance(as_run.args, Exception) else run(as_run)
    failpoint("K4")
    outcome.finished_at = lease.now()
    outcome.progress = place.recorder.take_progress()
    return outcome


def held(link: Link, token: UUID, job_id: UUID) -> Run | None:
    """A job that a lease still holds, without its arguments; None if it was recorded or taken back."""
    rows = link.rows("held", id=job_id, token=token)
    if not rows:
        return None
    id_, task, options, attempt, retries, max_retries, priority, queue, started_at, until = rows[0]
    given = loads(options) if options else None
    retry_until = until.isoformat() if until else None
    job = [id_, task, [], {}, given, attempt, retries, max_retries, priority, None, retry_until]
    return _as_run(job, queue, token, started_at, alone=True)


def _read(payload: str, token: UUID, link: Link) -> list[tuple[int, list]]:
    """The lease's jobs with their arguments, each with its number in the lease; long arguments come from the rows."""
    try:
        jobs = loads(payload)
    except Exception:
        # One job's arguments hold what this worker can't make. The others must not fail with it: read one by one.
        jobs = [_readable(job) for job in json.loads(payload)]
    absent = [UUID(job[0]) for job in jobs if job[2] is None]
    if absent:
        kept = {str(row[0]): row[1:] for row in link.rows("fetch", ids=absent, token=token)}
        for job in jobs:
            if job[0] in kept:
                job[2:5] = [json.loads(text) if text else None for text in kept[job[0]]]
                job[:] = _readable(job)
    return [(number, job) for number, job in enumerate(jobs, start=1) if job[2] is not None]


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
    id_, task, args, kwargs, options, attempt, retries, max_retries, priority, expires_at, *more = job
    # A dispatcher of another version may say less.
    retry_until, tags, reference_type, reference_id, in_chord = (*more, None, None, None, None, None)[:5]
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
        retry_until,
        tags,
        (reference_type, reference_id) if reference_type and reference_id else None,
        bool(in_chord),
    )
