"""The platform's settings: typed, with units, all problems reported at once.

Each field `x` is the Django setting `JOBS_X`, or the environment variable of that name, or the default here. The
built-in tasks declare theirs in the same way, under prefixes of their own.
"""

import math
import os
import typing
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, ClassVar, Protocol, TypeVar

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

FOLDERS = tuple[str, ...]
CENTURY = 100 * 365.25 * 86_400.0
"""Seconds. What lies further ahead overflows somewhere between Python and PostgreSQL."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobsSettings:
    default_queue: str = "default"
    """Queue of a job whose task, call and routes name none."""
    default_priority: int = 10
    """Priority of a job whose task and call name none (LOW 0, NORMAL 10, HIGH 20, CRITICAL 30)."""
    default_max_retries: int = 0
    """Retries after the first run of a task that declares none; 0 is stock Celery."""
    timeout: float = 0.0
    """Seconds a job may run whose task and call give no time_limit; 0 is no limit."""
    cancel_grace: float = 10.0
    """Seconds a running job has to stop after it was cancelled; then its process is killed."""
    shutdown_grace: float = 30.0
    """Seconds that running jobs have to end when their worker is told to stop; then they are given back to others."""
    retry_delay: float = 60.0
    """Seconds before the first retry."""
    retry_backoff: float = 2.0
    """Factor from one retry's delay to the next."""
    retry_backoff_max: float = 86_400.0
    """Longest delay before a retry, seconds."""
    retry_jitter: float = 0.2
    """Share by which a retry's delay is spread: 0.2 is ±20 %."""
    retry_for: float = 0.0
    """Seconds from the call after which no retry begins, for tasks and calls that give no retry_for; 0 is no limit."""
    retry_after_max: float = 86_400.0
    """Longest wait that an exception's Retry-After may ask for, seconds."""
    reject_delay: float = 1.0
    """Seconds before a job runs again that its task gave back with Reject(requeue=True)."""
    unknown_task_retries: int = 5
    """Further starts of a job whose task its worker does not know; a deployment may bring it meanwhile."""
    unknown_task_delay: float = 10.0
    """Seconds before the first of them; each further one waits JOBS_RETRY_BACKOFF times as long."""
    aging: int = 360
    """Seconds of waiting that weigh as much as one point of priority, for new queues."""
    max_payload: int = 1_048_576
    """Longest args, kwargs or options of one job, bytes of JSON each."""
    max_result: int = 268_435_456
    """Longest result of one job, bytes of JSON; a longer one is not kept, and its job completes without it."""
    strict: bool = False
    """Raise, instead of warn, when a call's transaction is open on another database alias than the jobs'."""
    notify: bool = True
    """Wake the dispatcher after a commit; without it, it polls."""
    poll_interval: float = 0.2
    """Seconds between two looks of an idle dispatcher."""
    dispatch_timeout: float = 30.0
    """Seconds after which a lease that no worker has won is taken back."""
    carrier_seconds: float = 0.05
    """Expected work of one broker message, seconds; short jobs share a message up to it, with 0 none does."""
    carrier_max: int = 1000
    """Most jobs of one lease."""
    carrier_budget: float = 1.0
    """Seconds after which a worker process gives back the jobs of its message that have not started."""
    flush_interval: float = 0.05
    """Longest time a finished job's outcome waits for company before it is committed, seconds."""
    progress_interval: float = 0.25
    """Shortest time between two writes of one job's progress, seconds."""
    heartbeat_interval: float = 10.0
    """Seconds between two heartbeats of a worker."""
    worker_timeout: float = 60.0
    """Seconds without a heartbeat after which a worker is presumed dead."""
    poison_after: int = 3
    """Losses while travelling alone after which a job is a dead letter."""
    completed_days: int = 7
    """Days after which completed, failed, cancelled and expired jobs are deleted; 0 keeps them for ever."""
    dead_letter_days: int = 30
    """Days after which dead letters are deleted, unless their queue says otherwise; 0 keeps them for ever."""
    dead_letter_cap: int = 1000
    """Dead letters that a queue keeps, the newest, unless it says otherwise; 0 keeps them all."""
    slow_job_threshold: float = 60.0
    """Seconds after which a job that still runs is logged, once; 0 is never."""
    max_jobs_per_child: int = 1000
    """Jobs after which a worker's child process is replaced, between two messages and at the age of 5 s; 0 is never."""
    max_memory_per_child: int = 0
    """KiB of memory after whose use a worker's child process is replaced, between two messages; 0 is no limit."""

    def problems(self) -> list[str]:
        found = []
        if self.worker_timeout <= 2 * self.heartbeat_interval:
            found.append(
                f"JOBS_WORKER_TIMEOUT ({self.worker_timeout:g} s) must exceed twice JOBS_HEARTBEAT_INTERVAL "
                f"({self.heartbeat_interval:g} s), or live workers are presumed dead."
            )
        if not -100 <= self.default_priority <= 100:
            found.append(f"JOBS_DEFAULT_PRIORITY is {self.default_priority}; expected -100 to 100.")
        for name in _ABOVE_ZERO:
            if not 0 < getattr(self, name) < math.inf:
                found.append(f"JOBS_{name.upper()} is {getattr(self, name)}; expected a number above 0.")
        for name in _NOT_NEGATIVE:
            if not 0 <= getattr(self, name) < math.inf:
                found.append(f"JOBS_{name.upper()} is {getattr(self, name)}; expected 0 or more.")
        for name in ("retry_backoff_max", "retry_after_max", "reject_delay", "unknown_task_delay", "retry_for"):
            if CENTURY < getattr(self, name) < math.inf:
                found.append(f"JOBS_{name.upper()} is {getattr(self, name):g} s; expected at most a hundred years.")
        if not self.retry_backoff >= 1:
            found.append(f"JOBS_RETRY_BACKOFF is {self.retry_backoff}; expected 1 or more.")
        if not 0 <= self.retry_jitter <= 1:
            found.append(f"JOBS_RETRY_JITTER is {self.retry_jitter}; expected 0 to 1, a share of the delay.")
        if self.aging > 10**9:
            found.append(f"JOBS_AGING is {self.aging} s; expected at most 10⁹, which is strict priority.")
        if not self.default_queue:
            found.append("JOBS_DEFAULT_QUEUE is empty; expected the name of a queue.")
        for name in ("completed_days", "dead_letter_days", "dead_letter_cap"):
            if not 0 <= getattr(self, name) <= 1_000_000:
                found.append(f"JOBS_{name.upper()} is {getattr(self, name)}; expected 0 to 1,000,000.")
        for name in ("carrier_max", "poison_after"):
            if getattr(self, name) < 1:
                found.append(f"JOBS_{name.upper()} is {getattr(self, name)}; expected at least 1.")
        return found


_NOT_NEGATIVE = (
    "default_max_retries",
    "retry_delay",
    "retry_for",
    "retry_after_max",
    "reject_delay",
    "unknown_task_retries",
    "unknown_task_delay",
    "carrier_seconds",
    "carrier_budget",
    "progress_interval",
    "timeout",
    "cancel_grace",
    "shutdown_grace",
    "slow_job_threshold",
    "max_jobs_per_child",
    "max_memory_per_child",
)
_ABOVE_ZERO = (
    "poll_interval",
    "dispatch_timeout",
    "heartbeat_interval",
    "worker_timeout",
    "flush_interval",
    "retry_backoff",
    "retry_backoff_max",
    "aging",
    "max_payload",
    "max_result",
)


class Settings(Protocol):
    """A dataclass of settings that knows what is wrong with its values."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def problems(self) -> list[str]: ...


S = TypeVar("S", bound=Settings)


@cache
def jobs_settings() -> JobsSettings:
    """Read and check the settings once. Raises ImproperlyConfigured with every problem found."""
    return read(JobsSettings, "JOBS_")


def read(kind: type[S], prefix: str) -> S:
    """The same for any settings. Raises ImproperlyConfigured with every problem found."""
    given: dict[str, Any] = {}
    problems: list[str] = []
    hints = typing.get_type_hints(kind)
    for field in fields(kind):
        name = f"{prefix}{field.name.upper()}"
        raw = getattr(django_settings, name, os.environ.get(name))
        if raw is None:
            continue
        try:
            given[field.name] = _typed(raw, hints[field.name])
        except (ValueError, TypeError, OverflowError):
            problems.append(f"{name} is {raw!r}; expected {_said(hints[field.name])}.")
    loaded = kind(**given)
    problems += loaded.problems()
    if problems:
        raise ImproperlyConfigured("\n".join(problems))
    return loaded


def forget_on_change(prefix: str, forget: Callable[[], None]) -> None:
    """Call `forget`, which empties the cache of settings under this prefix, when one of them changes in a test."""

    def changed(*, setting: str, **_: object) -> None:
        if setting.startswith(prefix):
            forget()

    setting_changed.connect(changed, weak=False, dispatch_uid=f"jobs.conf {prefix}")


def _typed(raw: object, kind: Any) -> object:
    if kind is bool:
        if str(raw).lower() not in {"1", "0", "true", "false", "on", "off"}:
            raise ValueError(raw)
        return str(raw).lower() in {"1", "true", "on"}
    if kind is int and isinstance(raw, float) and raw != int(raw):
        raise ValueError(raw)
    if kind == FOLDERS:
        return _folders(raw)
    return kind(raw)


def _folders(raw: object) -> tuple[str, ...]:
    if isinstance(raw, str):
        return tuple(filter(None, raw.split(os.pathsep)))
    if not isinstance(raw, list | tuple):
        raise TypeError(raw)
    return tuple(os.fsdecode(folder) for folder in raw)


def _said(kind: Any) -> str:
    return f"a list of folders, or one text with {os.pathsep!r} between them" if kind == FOLDERS else kind.__name__


forget_on_change("JOBS_", jobs_settings.cache_clear)
