"""Room 1: turn a call into a row, in the caller's transaction."""

import asyncio
import logging
import re
import threading
import uuid
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connections, transaction
from kombu.utils.json import dumps, loads
from uuid_utils import uuid7

from ..conf import jobs_settings
from ..errors import InvalidJob
from ..policy import PRIORITIES
from ..wire import ANY_QUEUE, UNTRACKED
from .link import Link, jobs_alias
from .sql import statement
from .wake import wake_after_commit

logger = logging.getLogger("jobs")

# JSON without the escapes that PostgreSQL refuses or that no text can carry: NUL, half a surrogate pair.
_STORABLE = re.compile(
    r"(?:[^\\]++|\\[^u]|\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|\\u(?!0000|d[89a-f])[0-9a-f]{4})*+"
)
_BYTES = re.compile(r'\{"__type__": "bytes", "__value__": "(?:[^"\\]++|\\.)*+"\}')
_BRACKETS = re.compile(r'"(?:[^"\\]++|\\.)*+"|([\[{])|[\]}]')
DEEPEST = 200
"""Levels of lists and dicts in one payload. Python reads some 900, less what its stack holds already."""
LONGEST_WAIT = 100 * 365.25 * 86_400.0
"""Seconds until a start or an expiry: a hundred years. More overflows somewhere between Python and PostgreSQL."""
LATEST = datetime(9999, 12, 30, tzinfo=UTC)
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LONGEST_TASK_ID = 500
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


_COLUMNS = tuple(field.name for field in fields(NewJob))


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
    # Celery writes bytes as text where they are UTF-8. Their NUL is no harm outside PostgreSQL's jsonb.
    plain = _BYTES.sub("", text) if "\\u0000" in text and what != "progress" else text
    if "\\u" in plain and not _STORABLE.fullmatch(plain):
        raise InvalidJob(f"The job's {what} hold a NUL character or half a surrogate pair; remove it from the text.")
    limit = jobs_settings().max_payload
    if len(text) > limit:
        raise InvalidJob(
            f"The job's {what} are {len(text):,} bytes of JSON; the limit JOBS_MAX_PAYLOAD is {limit:,}. "
            "Store the data and pass its key."
        )
    _refuse_unreadable(what, text)
    return text


def _refuse_unreadable(what: str, text: str) -> None:
    """What is written but can't be read again would break its worker, and every job beside it in the carrier."""
    if text.count("[") + text.count("{") > DEEPEST:
        depth = 0
        for bracket in _BRACKETS.finditer(text):
            if bracket[0][0] != '"':
                depth += 1 if bracket[1] else -1
                if depth > DEEPEST:
                    raise InvalidJob(f"The job's {what} are nested deeper than {DEEPEST} levels; flatten them.")
    if '"__type__"' in text:
        try:
            loads(text)
        except Exception as error:
            raise InvalidJob(
                f"The job's {what} hold a dict of '__type__' and '__value__' that no worker can read: {error}. "
                "Celery keeps these two keys for its own types; name yours otherwise."
            ) from error


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
    """Raises InvalidJob for what PostgreSQL would refuse: its refusal would break the caller's transaction."""
    for name, longest in _TEXTS.items():
        text = getattr(job, name)
        if text is not None and not (isinstance(text, str) and len(text) <= longest and _is_storable(text)):
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
    for name in ("delay", "expires"):
        seconds = getattr(job, name)
        if seconds is not None and not abs(seconds) <= LONGEST_WAIT:
            raise InvalidJob(f"The job's {name} is {seconds!r} s; expected at most {LONGEST_WAIT:.0f} s (100 years).")
    for name in ("run_at", "expires_at"):
        moment = getattr(job, name)
        if moment is not None and not (moment.tzinfo and EARLIEST - timedelta(1) <= moment <= LATEST):
            raise InvalidJob(f"The job's {name} is {moment!r}; expected an aware datetime from 1970 to 9999-12-30.")


_TEXTS = {"task": 500, "queue": 200, "name": 500, "reference_type": 500, "reference_id": 500, "created_by": 500}
"""Longest text of each column, characters."""


def _is_storable(text: str) -> bool:
    return "\x00" not in text and (text.isascii() or not _SURROGATE.search(text))


_SURROGATE = re.compile("[\ud800-\udfff]")


def parameters(job: NewJob) -> dict[str, Any]:
    return {**{name: getattr(job, name) for name in _COLUMNS}, "aging_us": jobs_settings().aging * 1_000_000}


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
