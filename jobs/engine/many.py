"""Many calls of one task by COPY: what they have in common is written out once, each row adds its arguments."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from uuid_utils import uuid7

from .enqueue import callers_link
from .link import Rows
from .newjob import NewJob, check
from .queues import queue_facts, refuse_if_full

LINES = 500
"""Rows that are sent at once."""


def enqueue_copies(job: NewJob, arguments: Iterable[tuple[str, str]]) -> list[str]:
    """Insert a job like `job` for each pair of args and kwargs (JSON), all or none, in the caller's transaction.

    Returns their ids as text, in order. What `arguments` raises while it is read is raised, and nothing is written.
    Raises InvalidJob and QueueFull.
    """
    check(job)
    with callers_link() as link, link.transaction():
        facts = queue_facts(link, job.queue)
        if facts.max_size is not None:
            arguments = list(arguments)
            refuse_if_full(link, job.queue, facts, len(arguments))
        shared = _shared(link, job, job.priority * facts.aging_us)
        ids: list[str] = []
        with link.copy("copy") as copy:
            for lines in _chunks(_lines(arguments, shared, ids)):
                copy.write("".join(lines))
    return ids


def _lines(arguments: Iterable[tuple[str, str]], shared: str, ids: list[str]) -> Iterator[str]:
    for args, kwargs in arguments:
        id_ = str(uuid7())
        ids.append(id_)
        # JSON has no raw tab or line end; of what COPY would read otherwise, only the backslash is left.
        if "\\" in args or "\\" in kwargs:
            args, kwargs = args.replace("\\", "\\\\"), kwargs.replace("\\", "\\\\")
        yield f"{id_}\t{args}\t{kwargs}\t{shared}\n"


def _shared(link: Rows, job: NewJob, lead: int) -> str:
    when = {name: getattr(job, name) for name in ("delay", "run_at", "expires", "expires_at", "retry_for")}
    state, rank, ready_at, run_at, expires_at, retry_until, now = link.rows("moment", lead=lead, **when)[0]
    named = (job.task, job.name, job.queue, job.priority, job.max_retries, job.options, job.tags)
    more = (job.reference_type, job.reference_id, job.created_by)
    return "\t".join(
        _field(v) for v in (*named, *more, state, rank, ready_at, run_at, expires_at, retry_until, now, now)
    )


def _field(value: Any) -> str:
    """One value in PostgreSQL's text format of COPY."""
    if value is None:
        return r"\N"
    return str(value).translate(_ESCAPES)


_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _chunks(lines: Iterator[str]) -> Iterator[list[str]]:
    while chunk := list(islice(lines, LINES)):
        yield chunk
