"""The job that this thread runs now."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..engine.enqueue import NewJob
    from ..engine.execute import Place, Run


@dataclass(slots=True)
class Again:
    """What `self.retry()` asked for: seconds to wait, and the arguments of the next run as JSON."""

    delay: float
    args: str
    kwargs: str


@dataclass(slots=True)
class Current:
    """One run in progress; `task_id` is the id that Celery code sees."""

    run: "Run"
    place: "Place"
    task_id: str
    following: bool = False
    next_jobs: list["NewJob"] = field(default_factory=list)
    again: Again | None = None
    interruptible: bool = False
    """Between the first and the last line of the task: an exception may be raised in it from outside."""
    interrupted: bool = False
    asked_to_stop: bool = False
    """JobCancelled was raised once; a second one would cut off the tidying up."""
    cancel_coroutine: Callable[[], object] | None = None
    """How to interrupt the coroutine of an `async def` task."""
    interruption: Exception | None = None
    policy_retry: BaseException | None = None
    """The failure that the platform's policy, not the task, turned into a retry."""


_current: ContextVar[Current | None] = ContextVar("jobs_current", default=None)


def current() -> Current | None:
    return _current.get()


def enter(running: Current) -> Any:
    return _current.set(running)


def leave(token: Any) -> None:
    _current.reset(token)
