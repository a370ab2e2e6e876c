"""Room 1: turn a call into a row, in the caller's transaction."""

import asyncio
import json
import logging
import re
import threading
import uuid
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from django.db import connections, transaction
from kombu.utils.json import dumps
from uuid_utils import uuid7

from ..conf import jobs_settings
from ..errors import InvalidJob
from ..policy import PRIORITIES
from .link import Link, jobs_alias
from .sql import statement
from .wake import wake_after_commit

logger = logging.getLogger("jobs")

# JSON escapes that PostgreSQL's json functions refuse or that no text can carry: NUL and unpaired surrogates.
_UNSTORABLE = re.compile(
    r"(?<!\\)(?:\\\\)*(?:\\u0000|\\ud[89ab][0-9a-f]{2}(?!\\ud[c-f][0-9a-f]{2})"
    r"|(?<!\\ud[89ab][0-9a-f]{2})\\ud[c-f][0-9a-f]{2})"
)
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


def new_id() -> uuid.UUID:
    return uuid.UUID(bytes=uuid7().bytes)


def job_key(task_id: str | uuid.UUID) -> uuid.UUID:
    """The key of a Celery task id: itself if it is a UUID, else the UUIDv5 of its text."""
    if isinstance(task_id, uuid.UUID):
        return task_id
    try:
        return uuid.UUID(task_id)
    except ValueError:
        return uuid.uuid5(_TEXT_ID, task_id)


def encode(what: str, value: Any) -> str:
    """JSON as Celery would send it. Raises InvalidJob for what no worker could read back; `what` names it."""
    try:
        text = dumps(value, allow_nan=False)
        text.encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidJob(
            f"The job's {what} can't be written as JSON: {error}. Pass plain values (str, int, finite float, bool, "
            "None, list, dict, datetime, Decimal, UUID, bytes), and a model's primary key instead of the model."
        ) from error
    if _UNSTORABLE.search(text):
        raise InvalidJob(f"The job's {what} hold a NUL character or half a surrogate pair; remove it from the text.")
    limit = jobs_settings().max_payload
    if len(text) > limit:
        raise InvalidJob(
            f"The job's {what} are {len(text):,} bytes of JSON; the limit JOBS_MAX_PAYLOAD is {limit:,}. "
            "Store the data and pass its key."
        )
    return text


def priority_number(value: int | str | None) -> int:
    """A priority by number or by name (low, normal, high, critical). Raises InvalidJob."""
    if value is None:
        return jobs_settings().default_priority
    number = PRIORITIES.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(number, int) or isinstance(number, bool) or not -100 <= number <= 100:
        raise InvalidJob(f"Priority {value!r} is not known; expected -100 to 100 or one of {', '.join(PRIORITIES)}.")
    return number


def encode_tags(tags: Mapping[str, str] | None) -> str | None:
    if not tags:
        return None
    if not isinstance(tags, Mapping) or not all(isinstance(t, str) for pair in tags.items() for t in pair):
        raise InvalidJob(f"Tags must map strings to strings, got {tags!r}.")
    return encode("tags", dict(tags))


def enqueue(job: NewJob) -> uuid.UUID:
    """Insert one job in the transaction that the caller has open on the jobs' alias, or at once if there is none.

    Returns its key; an id that is live keeps its row. Under a running event loop it is committed at once on a
    connection of its own, because asynchronous Django has no transactions. Raises InvalidJob before any SQL.
    """
    check(job)
    if _in_event_loop():
        with _loop_link_lock:
            _loop_link.rows("insert", **parameters(job))
            _loop_link.rows("wake")
        return job.id
    alias = jobs_alias()
    _warn_of_other_transactions(alias)
    with connections[alias].cursor() as cursor:
        cursor.execute(statement("insert"), parameters(job))
        if cursor.rowcount == 0:
            logger.info("job id is live: the call was joined to it", extra={"job_id": str(job.id), "task": job.task})
    wake_after_commit(alias)
    return job.id


def enqueue_in(link: Link, jobs: Sequence[NewJob]) -> None:
    """Insert jobs on the platform's own connection, inside its open transaction."""
    for job in jobs:
        link.rows("insert", **parameters(job))


def check(job: NewJob) -> None:
    for name, text, longest in (("task", job.task, 500), ("queue", job.queue, 200), ("name", job.name, 500)):
        if not isinstance(text, str) or len(text) > longest or "\x00" in text:
            raise InvalidJob(f"The job's {name} {str(text)[:80]!r} must be text of at most {longest} characters.")
    if not job.task or not job.queue:
        raise InvalidJob("A job needs a task and a queue; one of them is empty.")
    if job.max_retries is not None and job.max_retries < 0:
        raise InvalidJob(f"max_retries is {job.max_retries}; expected 0 or more, or None for no limit.")


def parameters(job: NewJob) -> dict[str, Any]:
    return {**asdict(job), "aging_us": jobs_settings().aging * 1_000_000}


def tags_of(text: str | None) -> dict[str, str]:
    return json.loads(text) if text else {}


_loop_link = Link("jobs enqueue")
_loop_link_lock = threading.Lock()


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _warn_of_other_transactions(alias: str) -> None:
    if connections[alias].in_atomic_block:
        return
    for other in connections.all(initialized_only=True):
        if other.alias != alias and other.in_atomic_block:
            message = (
                f"A job was enqueued while a transaction is open on the database {other.alias!r}, but jobs live in "
                f"{alias!r}: it is committed now, whatever becomes of that transaction. "
                f"Open transaction.atomic(using={alias!r}) too."
            )
            if jobs_settings().strict:
                raise InvalidJob(message)
            warnings.warn(message, RuntimeWarning, stacklevel=5)
            return


def in_transaction() -> bool:
    return transaction.get_connection(jobs_alias()).in_atomic_block
