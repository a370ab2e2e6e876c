"""At most one job of a task holds a unique key: what happens to the second call."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import replace

from psycopg import errors

from ..errors import DuplicateJob, UniqueBusy
from .abandoned import abandon
from .ending import end
from .link import Rows, cause_of
from .newjob import NewJob, as_json

PATIENCE = 2.0
"""Seconds that a call waits for a transaction that is taking the same key, or looks again while it changes hands."""


def insert_unique(link: Rows, job: NewJob, lead: int) -> uuid.UUID:
    """Insert a job with a unique key; returns its key, or the holder's.

    Must run in a transaction; it does its work in savepoints, so that an error leaves that transaction usable.
    Raises DuplicateJob and UniqueBusy.
    """
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            with link.transaction():
                before = link.rows("patience", timeout=f"{PATIENCE:g}s")[0][0]
                found = _try(link, job, lead)
                link.rows("patience", timeout=before)
        except Exception as error:
            match cause_of(error):
                case errors.UniqueViolation():
                    continue  # somebody else took the key a moment ago
                case errors.LockNotAvailable():
                    raise UniqueBusy(job.task, job.unique_key or "", f"waited {PATIENCE:g} s") from error
                case errors.DeadlockDetected():
                    raise UniqueBusy(job.task, job.unique_key or "", "the two wait for each other") from error
            raise
        if found is not None:
            return found
    raise UniqueBusy(job.task, job.unique_key or "", "it changed hands again and again")


def new_rows(link: Rows, jobs: Sequence[NewJob]) -> int:
    """How many rows these calls would write: those that get another job's id, or are refused, write none."""
    keys = [None if job.on_conflict == "replace" else job.unique_key for job in jobs]
    known = {
        row[0] for row in link.rows("joined", ids=[job.id for job in jobs], tasks=[job.task for job in jobs], keys=keys)
    }
    fresh = [(job, key) for job, key in zip(jobs, keys, strict=True) if job.id not in known]
    return len({(job.task, key) if key else job.id for job, key in fresh})


def end_joined(link: Rows, job: NewJob, lead: int, holder: uuid.UUID) -> None:
    """A step of a chain for which another job stands is cancelled, and with it the later steps: they never follow.

    Their ids were given to the caller, who may wait for them.
    """
    link.rows("insert_all", jobs=as_json([(replace(job, unique_key=None, unique_for=None), lead)]))
    link.rows("keep_key", id=job.id, unique_key=job.unique_key)
    reason = f"job {holder} holds its unique key and stands for it; what was to follow it does not"
    abandon(link.rows, end(link, [job.id], actor="unique key", reason=reason, ip=None).now)


def _try(link: Rows, job: NewJob, lead: int) -> uuid.UUID | None:
    """One look at the holder and one insert. None: look again."""
    holders = link.rows("holder", task=job.task, unique_key=job.unique_key)
    if not holders:
        link.rows("insert_all", jobs=as_json([(job, lead)]))
        return job.id
    holder, after, stale = holders[0]
    if stale:
        link.rows("release_key", id=holder, unique_key=job.unique_key)
        return None
    if holder == job.id or job.on_conflict == "existing":
        return holder
    if job.on_conflict == "raise":
        raise DuplicateJob(job.task, job.unique_key or "", holder)
    return _replace(link, job, lead, holder, after)


def _replace(link: Rows, job: NewJob, lead: int, holder: uuid.UUID, after: uuid.UUID | None) -> uuid.UUID | None:
    """End the holder; one that runs is asked to, and the new job waits for its end."""
    ended = end(link, [holder], actor="unique key", reason="replaced by another job with its unique key", ip=None)
    abandon(link.rows, [*ended.now, *ended.others])
    link.rows("release_key", id=holder, unique_key=job.unique_key)
    behind = holder if ended.asked else after
    link.rows("insert_all", jobs=as_json([(replace(job, after=job.after or behind), lead)]))
    return job.id
