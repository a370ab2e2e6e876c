"""Chords: members are counted as they complete; what waits for their results is a blocked job until then."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from kombu.utils.json import dumps

from ..conf import jobs_settings
from .enqueue import callers_link, enqueue_all
from .link import Link, Rows
from .newjob import NewJob

RESULTS = {"__jobs__": "results of the chord"}
"""First argument of a job that waits for a chord, until the results take its place."""
_SPOILT = r'^\{"chord_error": "(?:[^"\\]|\\.)*"(, )?'
"""How the options of a job begin whose chord could not complete."""


@dataclass(slots=True, kw_only=True)
class NewChord:
    """A chord to insert; `members` is JSON: their ids as text, nested as their results are to be."""

    id: uuid.UUID
    members: str
    size: int | None = None
    """Completions it takes; known when the last member is made."""


def enqueue_chords(chords: Sequence[NewChord], jobs: Sequence[NewJob]) -> list[uuid.UUID]:
    """Insert chords with everything that belongs to them, all or nothing, in the caller's transaction if there is one.

    Returns what `enqueue_all` returns. Raises InvalidJob before any SQL.
    """
    if not chords:
        return enqueue_all(jobs)
    with callers_link() as link, link.transaction():
        ids = enqueue_all(jobs)
        add_chords(link, chords)
    return ids


def add_chords(link: Rows, chords: Sequence[NewChord]) -> None:
    """Insert chords in the transaction that is open."""
    for chord in chords:
        link.rows("add_chord", id=chord.id, size=chord.size, members=chord.members)


def release(link: Rows, chords: Sequence[uuid.UUID]) -> int:
    """Give the results of complete chords to the jobs that wait for them; returns how many jobs may run now."""
    rows = link.rows("release", chords=list(chords), placeholder=dumps(RESULTS), spoilt=_SPOILT, aging_us=_aging_us())
    return len(rows)


def spoil(link: Link, chords: Sequence[uuid.UUID]) -> int:
    """Let the jobs fail that wait for chords of which a member has ended otherwise; returns how many."""
    return len(link.rows("spoil", chords=list(chords), spoilt=_SPOILT, aging_us=_aging_us()))


def judge(link: Link, above: uuid.UUID, limit: int) -> uuid.UUID | None:
    """Look at up to `limit` chords and jobs that blocked jobs wait for, from an id on.

    Returns where to go on, None at the end. A job that waits for the one that takes over its id is let alone.
    """
    rows = link.rows("judge", above=above, limit=limit)
    if complete := [id_ for id_, is_complete, _, _ in rows if is_complete]:
        release(link, complete)
    if spoilt := [id_ for id_, is_complete, is_spoilt, _ in rows if is_spoilt and not is_complete]:
        spoil(link, spoilt)
    if over := [id_ for id_, _, _, is_over in rows if is_over]:
        link.rows("release_after", ids=over, aging_us=_aging_us())
    return rows[-1][0] if len(rows) == limit else None


def _aging_us() -> int:
    return jobs_settings().aging * 1_000_000
