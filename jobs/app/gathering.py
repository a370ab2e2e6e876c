"""The calls that a group, a chord or a replacement consists of: gathered first, inserted together."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from uuid import UUID

from celery.result import ResultSet
from kombu.utils.json import dumps

from ..engine.chords import RESULTS, NewChord, enqueue_chords
from ..engine.enqueue import enqueue
from ..engine.newjob import NewJob, check, job_key
from .current import Current, current


@dataclass(slots=True)
class Gathered:
    jobs: list[NewJob] = field(default_factory=list)
    chords: list[NewChord] = field(default_factory=list)
    foretold: dict[UUID, "Gathered"] = field(default_factory=dict)
    """Chords, first in `chords` of each, with the jobs that wait for them, until their size is known."""
    known: dict[str, Any] = field(default_factory=dict)
    """What is the same for every call."""


_gathered: ContextVar[Gathered | None] = ContextVar("jobs_gathered", default=None)
_foretold: ContextVar[Gathered | None] = ContextVar("jobs_foretold", default=None)
"""Of a chord whose body was made and whose header comes next."""
_joined: ContextVar[Mapping[str, str]] = ContextVar("jobs_joined", default=MappingProxyType({}))
_chord: ContextVar[UUID | None] = ContextVar("jobs_waits_for", default=None)


def insert(job: NewJob) -> UUID:
    """Insert a job now, with the group that it belongs to, or with the outcome of the job that it follows from.

    Returns its key, or that of the job that holds its unique key.
    """
    running, gathered = current(), _gathered.get()
    if gathered is not None:
        gathered.jobs.append(job)
    elif running is not None and running.following:
        check(job)
        running.next_jobs.append(job)
    else:
        return enqueue(job)
    return job.id


def known() -> dict[str, Any] | None:
    """What the calls of the group that is being made have in common; None outside of one."""
    gathered = _gathered.get()
    return None if gathered is None else gathered.known


def once(name: str, find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What is the same for every call of a group is looked up once: ten thousand look-ups are a second."""
    found = known()
    if found is None:
        return find()
    if name not in found:
        found[name] = find()
    return found[name]


def joined(task_id: str) -> str:
    """The id that a call of the group just inserted has: another job's, if that one holds its unique key."""
    return _joined.get().get(task_id, task_id)


def waits_for() -> UUID | None:
    """The chord that the jobs called now wait for."""
    return _chord.get()


@contextmanager
def gathering() -> Iterator[None]:
    """Calls in this block are inserted at its end; in a block within a block, at the end of the outermost."""
    if _gathered.get() is not None:
        yield
        return
    gathered = _foretold.get() or Gathered()
    token = _gathered.set(gathered)
    _foretold.set(None)
    try:
        yield
    finally:
        _gathered.reset(token)
    _insert(gathered, current())


def foretell(group_id: str, results: Any, body: Any) -> None:
    """Make the body of a chord, blocked; it is inserted with the header, whose calls come next.

    Celery itself puts the placeholder for the results where they belong: into the body's first calls, unless these are
    immutable.
    """
    key = job_key(group_id)
    outer = _gathered.get()
    inner = Gathered(chords=[NewChord(id=key, members=dumps(_shape(results)))])
    gathered, chord = _gathered.set(inner), _chord.set(key)
    try:
        body.apply_async((RESULTS,))
    finally:
        _gathered.reset(gathered)
        _chord.reset(chord)
    if outer is None:
        # What an earlier chord left, whose header raised, is dropped with this.
        outer = Gathered()
        _foretold.set(outer)
    outer.foretold[key] = inner


def size(group_id: str, number: int) -> None:
    """All members of a chord were called; a group that no chord waits for says nothing."""
    gathered = _gathered.get()
    inner = gathered.foretold.pop(job_key(group_id), None) if gathered is not None else None
    if gathered is not None and inner is not None:
        inner.chords[0].size = number
        gathered.chords += inner.chords
        gathered.jobs += inner.jobs


def _insert(gathered: Gathered, running: Current | None) -> None:
    if running is not None and running.following:
        for job in gathered.jobs:
            check(job)
        running.next_chords += gathered.chords
        running.next_jobs += gathered.jobs
    elif gathered.jobs:
        keys = enqueue_chords(gathered.chords, gathered.jobs)
        _joined.set({str(job.id): str(key) for job, key in zip(gathered.jobs, keys, strict=True) if key != job.id})


def _shape(results: Any) -> list:
    """Ids of the members' results, a list for each group among them."""
    return [_shape(one.results) if isinstance(one, ResultSet) else str(job_key(one.id)) for one in results]
