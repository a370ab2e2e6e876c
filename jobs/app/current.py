"""The job that this thread runs now."""

import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from .retrying import retry_until

if TYPE_CHECKING:
    from ..engine.chords import NewChord
    from ..engine.execute import Place, Run
    from ..engine.newjob import NewJob
    from ..policy import Outcome, Verdict
    from .wishes import JobDiscarded, JobSnoozed


@dataclass(slots=True)
class Again:
    """What `self.retry()` asked for: seconds to wait, the arguments of the next run as JSON, and why.

    Queue, priority and options (JSON) are None where they stay.
    """

    delay: float
    args: str
    kwargs: str
    queue: str | None = None
    priority: int | None = None
    options: str | None = None
    cause: BaseException | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningJob:
    """The running job as its task sees it in `self.job`, without a query. Times are aware UTC, limits seconds."""

    id: UUID
    task_id: str
    """The id as text, or the caller's own words for it."""
    task: str
    attempt: int
    """1 for the first start; starts that were lost count, snoozed ones don't."""
    retries: int
    max_retries: int | None
    """None: no limit."""
    queue: str
    priority: int
    tags: Mapping[str, str]
    reference: tuple[str, str] | None
    """(type, id) of what the job is about."""
    started_at: datetime
    deadline: datetime | None
    """When its hard time limit ends it."""
    soft_deadline: datetime | None
    retry_until: datetime | None
    """No retry begins after it."""
    expires_at: datetime | None


@dataclass(slots=True)
class Current:
    """One run in progress; `task_id` is the id that Celery code sees."""

    run: "Run"
    place: "Place"
    task_id: str
    following: bool = False
    next_jobs: list["NewJob"] = field(default_factory=list)
    next_chords: list["NewChord"] = field(default_factory=list)
    again: Again | None = None
    retry_options: dict[str, Any] = field(default_factory=dict)
    """What `self.retry()` was given for the next run, besides its arguments and its time."""
    replaced: bool = False
    """`self.replace()` was called: another job takes over its id."""
    children: list[Any] = field(default_factory=list)
    """Results of the jobs that it called."""
    interruptible: bool = False
    """Between the first and the last line of the task: an exception may be raised in it from outside."""
    interrupted: bool = False
    asked_to_stop: bool = False
    """JobCancelled was raised once; a second one would cut off the tidying up."""
    cancel_coroutine: Callable[[], bool] | None = None
    """Cancels the coroutine of an `async def` task; False if its code has not begun or has ended."""
    interruption: Exception | None = None
    """Why the coroutine was cancelled: what its job ends with, unless it goes on."""
    policy_retry: BaseException | None = None
    """The failure that the platform's policy, not the task, turned into a retry."""
    verdict: "Verdict | None" = None
    """What the policy, or `self.retry()` on finding the time for retries over, said of the failure."""
    wish: "JobSnoozed | JobDiscarded | None" = None
    """What the task asked for its job; it holds even where the exception that carries it is caught."""
    gave_up: BaseException | None = None
    """What `self.retry()` raised instead of retrying: final."""
    overrides: dict[str, Any] = field(default_factory=dict)
    """Celery's `override_max_retries`, by task."""
    began: float = field(default_factory=time.monotonic)
    committing: bool = False
    """Nothing may be raised in it from outside: it would leave open whether the transaction was committed."""
    committed: "Outcome | None" = None
    """What `commit()` has put on record; nothing that happens later changes it."""
    result: Any = None
    """What the committed job returns."""

    def now(self) -> datetime:
        """On the database's clock, as the start of the run is."""
        return self.run.started_at + timedelta(seconds=time.monotonic() - self.began)

    def view(self) -> RunningJob:
        run = self.run
        hard, soft = run.time_limit, run.soft_time_limit
        return RunningJob(
            id=run.id,
            task_id=self.task_id,
            task=run.task,
            attempt=run.attempt,
            retries=run.retries,
            max_retries=run.max_retries,
            queue=run.queue,
            priority=run.priority,
            tags=MappingProxyType(dict(run.tags or {})),
            reference=run.reference,
            started_at=run.started_at,
            deadline=run.started_at + timedelta(seconds=hard) if hard else None,
            soft_deadline=run.started_at + timedelta(seconds=soft) if soft else None,
            retry_until=retry_until(run),
            expires_at=datetime.fromisoformat(run.expires_at) if run.expires_at else None,
        )


_current: ContextVar[Current | None] = ContextVar("jobs_current", default=None)


def current() -> Current | None:
    return _current.get()


def enter(running: Current) -> Any:
    return _current.set(running)


def leave(token: Any) -> None:
    _current.reset(token)
