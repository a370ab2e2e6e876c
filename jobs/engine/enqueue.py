"""Room 1: turn calls into rows, in the caller's transaction."""

import asyncio
import logging
import threading
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import connections, transaction

from ..conf import jobs_settings
from ..errors import InvalidJob, QueueFull
from .failpoints import failpoint
from .link import CallersLink, Link, Rows, jobs_alias
from .newjob import NewJob, as_json, check
from .queues import queue_facts, refuse_if_full
from .unique import end_joined, insert_unique, new_rows
from .wake import wake_after_commit

logger = logging.getLogger("jobs")

CHUNK = 2_000
"""Jobs written by one statement."""


def enqueue(job: NewJob) -> uuid.UUID:
    """Insert one job in the transaction that the caller has open on the jobs' alias, or at once if there is none.

    Returns its key, or that of the job that holds its unique key; an id that is live keeps its row. Under a running
    event loop it is committed at once on a connection of its own, because asynchronous Django has no transactions.
    Raises InvalidJob before any SQL; QueueFull, DuplicateJob and UniqueBusy leave the caller's transaction usable.
    """
    return enqueue_all([job])[0]


def enqueue_all(jobs: Sequence[NewJob]) -> list[uuid.UUID]:
    """Like `enqueue` for several jobs, all or none, with one statement for up to CHUNK of them."""
    for job in jobs:
        check(job)
    with callers_link() as link:
        return _insert(link, jobs)


@contextmanager
def callers_link() -> Iterator[CallersLink | Link]:
    """Where a caller's jobs are written; wakes the dispatcher when they are committed."""
    if in_event_loop():
        with _loop_link_lock:
            yield _loop_link
            _loop_link.rows("wake")
        return
    alias = jobs_alias()
    warn_of_other_transactions(connections[alias])
    yield CallersLink(alias)
    failpoint("KE1")
    wake_after_commit(alias)


def enqueue_in(link: Rows, jobs: Sequence[NewJob]) -> None:
    """Insert jobs that follow from another one, on a connection whose transaction is open. No queue is too full."""
    for job in jobs:
        job.on_conflict = "existing" if job.on_conflict == "raise" else job.on_conflict
    _insert(link, jobs, capped=False)


def _insert(link: Rows, jobs: Sequence[NewJob], *, capped: bool = True) -> list[uuid.UUID]:
    leads = _leads(link, jobs, capped)
    if len(jobs) == 1 and jobs[0].is_plain and link.rows("insert", **row(jobs[0], leads[0])):
        return [jobs[0].id]
    if len(jobs) == 1 and jobs[0].unique_key is None:
        _insert_plain(link, [(jobs[0], leads[0])])
        return [jobs[0].id]
    with link.transaction():
        for start in range(0, len(jobs), CHUNK):
            chunk = zip(jobs[start : start + CHUNK], leads[start : start + CHUNK], strict=True)
            _insert_plain(link, [(job, lead) for job, lead in chunk if job.unique_key is None])
        # In the order of their keys: two callers that wait for each other's keys would both be refused.
        held = sorted(
            ((job, lead) for job, lead in zip(jobs, leads, strict=True) if job.unique_key is not None),
            key=lambda pair: (pair[0].task, pair[0].unique_key),
        )
        holders = {job.id: insert_unique(link, job, lead) for job, lead in held}
        for job, lead in held:
            if holders[job.id] != job.id and _is_awaited_step(job, follows=not capped):
                end_joined(link, job, lead, holders[job.id])
    return [holders.get(job.id, job.id) for job in jobs]


def _is_awaited_step(job: NewJob, *, follows: bool) -> bool:
    """Whether a job has later steps, or is the last of them: ids that we make are nobody's yet, and of version 7."""
    return '"chain": [' in (job.options or "") or (follows and job.id.version != 7)


def _insert_plain(link: Rows, jobs: Sequence[tuple[NewJob, int]]) -> None:
    # One statement can't write a row twice.
    once = {job.id: (job, lead) for job, lead in jobs}
    written = {row[0] for row in link.rows("insert_all", jobs=as_json(once.values()))} if once else set()
    for id_ in once.keys() - written:
        logger.info("job id is live: the call was joined to it", extra={"job_id": str(id_), "task": once[id_][0].task})


def _leads(link: Rows, jobs: Sequence[NewJob], capped: bool) -> list[int]:
    """µs by which the priority of each job goes before its time. Raises QueueFull."""
    facts = {name: queue_facts(link, name) for name in {job.queue for job in jobs}}
    if capped:
        for name, known in facts.items():
            try:
                refuse_if_full(link, name, known, sum(job.queue == name for job in jobs))
            except QueueFull:
                if more := new_rows(link, [job for job in jobs if job.queue == name]):
                    refuse_if_full(link, name, known, more)
    return [job.priority * facts[job.queue].aging_us for job in jobs]


def row(job: NewJob, lead: int) -> dict[str, Any]:
    return {"lead": lead, **{name: getattr(job, name) for name in _PLAIN}}


_PLAIN = (
    "id",
    "task",
    "name",
    "queue",
    "priority",
    "max_retries",
    "args",
    "kwargs",
    "options",
    "tags",
    "reference_type",
    "reference_id",
    "created_by",
    "chord",
)

_loop_link = Link("jobs enqueue")
_loop_link_lock = threading.RLock()


def in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def warn_of_other_transactions(connection: Any) -> None:
    """Tell who calls inside a transaction that the job would not be part of. Raises InvalidJob under JOBS_STRICT."""
    if connection.in_atomic_block:
        return
    alias = connection.alias
    for other in connections.all(initialized_only=True):
        if other.alias != alias and other.in_atomic_block:
            message = (
                f"A job was enqueued while a transaction is open on the database {other.alias!r}, but jobs live in "
                f"{alias!r}: it is committed now, whatever becomes of that transaction. "
                f"Open transaction.atomic(using={alias!r}) too."
            )
            if jobs_settings().strict:
                raise InvalidJob(message)
            warnings.warn(message, RuntimeWarning, stacklevel=8)
            return


def in_transaction() -> bool:
    return transaction.get_connection(jobs_alias()).in_atomic_block
