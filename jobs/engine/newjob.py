"""What a job is before it is a row: its columns, its key, and what PostgreSQL would refuse of them."""

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from uuid_utils import uuid7

from ..conf import jobs_settings
from ..errors import InvalidJob
from ..policy import PRIORITIES
from ..wire import ANY_QUEUE, UNTRACKED
from .payload import is_storable

LONGEST_WAIT = 100 * 365.25 * 86_400.0
"""Seconds until a start or an expiry: a hundred years. More overflows somewhere between Python and PostgreSQL."""
LATEST = datetime(9999, 12, 30, tzinfo=UTC)
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LONGEST_TASK_ID = 500
CONFLICTS = ("existing", "replace", "raise")
_TEXT_ID = uuid.UUID("6f0c0d5a-2f53-5c3e-9c53-9a6a6a0a7b10")


@dataclass(slots=True, kw_only=True)
class NewJob:
    """A job to insert; `args`, `kwargs` and `options` are JSON from `encode`."""

    task: str
    args: str = "[]"
    kwargs: str = "{}"
    id: uuid.UUID = field(default_factory=lambda: new_id())
    name: str = ""
    queue: str = "default"
    priority: int = 10
    delay: float | None = None
    """Seconds from now by the database's clock."""
    run_at: datetime | None = None
    expires: float | None = None
    """Seconds from now by the database's clock."""
    expires_at: datetime | None = None
    max_retries: int | None = 0
    options: str | None = None
    tags: str | None = None
    reference_type: str | None = None
    reference_id: str | None = None
    created_by: str | None = None
    chord: uuid.UUID | None = None
    """Chord of which it is a member."""
    after: uuid.UUID | None = None
    """Chord or job it waits for, blocked."""
    retry_for: float | None = None
    """Seconds from now after which no retry begins."""
    unique_key: str | None = None
    unique_for: float | None = None
    """Seconds from now that the key is held at least, also when the job is over by then."""
    on_conflict: str = "existing"
    """What becomes of the call when another job holds the key: one of CONFLICTS."""

    @property
    def is_plain(self) -> bool:
        """Whether it may run at once and for ever, without a key: the statement for such jobs is shorter."""
        return all(getattr(self, name) is None for name in _WAITING)


_COLUMNS = tuple(field.name for field in fields(NewJob) if field.name != "on_conflict")
_WAITING = ("delay", "run_at", "expires", "expires_at", "after", "retry_for", "unique_key")


def new_id() -> uuid.UUID:
    return uuid.UUID(bytes=uuid7().bytes)


def job_key(task_id: str | uuid.UUID) -> uuid.UUID:
    """The key of a Celery task id: itself if it is a UUID, else the UUIDv5 of its text. Raises InvalidJob."""
    if isinstance(task_id, uuid.UUID):
        return task_id
    if not isinstance(task_id, str) or len(task_id) > LONGEST_TASK_ID:
        raise InvalidJob(
            f"task_id {str(task_id)[:80]!r} must be text of at most {LONGEST_TASK_ID} characters, or a UUID."
        )
    try:
        return uuid.UUID(task_id)
    except ValueError:
        pass
    try:
        return uuid.uuid5(_TEXT_ID, task_id)
    except UnicodeEncodeError as error:
        raise InvalidJob(f"task_id {task_id!r} holds half a surrogate pair; remove it.") from error


def as_json(jobs: Iterable[tuple[NewJob, int]]) -> str:
    """Jobs for `insert_all`, each with the µs by which its priority goes before its time."""
    return json.dumps([{"lead": lead, **_named(job)} for job, lead in jobs], default=str)


def _named(job: NewJob) -> dict[str, Any]:
    """The columns of a job that are not NULL."""
    return {name: value for name in _COLUMNS if (value := getattr(job, name)) is not None}


def priority_number(value: int | str | None) -> int:
    """A priority by number or by name (low, normal, high, critical). Raises InvalidJob."""
    if value is None:
        return jobs_settings().default_priority
    number = PRIORITIES.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(number, int) or isinstance(number, bool) or not -100 <= number <= 100:
        raise InvalidJob(f"Priority {value!r} is not known; expected -100 to 100 or one of {', '.join(PRIORITIES)}.")
    return number


def check(job: NewJob) -> None:
    """Raises InvalidJob for what PostgreSQL would refuse: its refusal would break the caller's transaction."""
    for name, longest in _TEXTS.items():
        text = getattr(job, name)
        if text is not None and not (isinstance(text, str) and len(text) <= longest and is_storable(text)):
            raise InvalidJob(
                f"The job's {name} {str(text)[:80]!r} must be text of at most {longest} characters, "
                "without NUL or half a surrogate pair."
            )
    if not job.task or not job.queue or job.name is None:
        raise InvalidJob("A job needs a task and a queue; one of them is empty.")
    if job.queue in (ANY_QUEUE, UNTRACKED):
        raise InvalidJob(f"The queue name {job.queue!r} is the platform's own: choose another.")
    job.priority = priority_number(job.priority)
    limit = job.max_retries
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or not 0 <= limit < 2**31):
        raise InvalidJob(f"max_retries is {limit!r}; expected a whole number from 0 to 2³¹, or None for no limit.")
    if job.on_conflict not in CONFLICTS:
        raise InvalidJob(f"on_conflict is {job.on_conflict!r}; expected one of {', '.join(CONFLICTS)}.")
    for name in ("delay", "expires", "retry_for", "unique_for"):
        seconds = getattr(job, name)
        if seconds is not None and not abs(seconds) <= LONGEST_WAIT:
            raise InvalidJob(f"The job's {name} is {seconds!r} s; expected at most {LONGEST_WAIT:.0f} s (100 years).")
    for name in ("run_at", "expires_at"):
        moment = getattr(job, name)
        if moment is not None and not (moment.tzinfo and EARLIEST - timedelta(1) <= moment <= LATEST):
            raise InvalidJob(f"The job's {name} is {moment!r}; expected an aware datetime from 1970 to 9999-12-30.")


_TEXTS = {
    "task": 500,
    "queue": 200,
    "name": 500,
    "reference_type": 500,
    "reference_id": 500,
    "created_by": 500,
    "unique_key": 500,
}
"""Longest text of each column, characters."""
