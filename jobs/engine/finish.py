"""One transaction for outcomes and all that follows from them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg

from ..policy import Outcome
from ..states import FINAL, End, State
from .abandoned import abandon
from .chords import add_chords, release
from .enqueue import enqueue_in
from .link import Link, Rows, as_array

LONGEST_ERROR = 8_192
LONGEST_TRACEBACK = 65_536


def clean(text: str | None, longest: int) -> str | None:
    """Text that PostgreSQL takes: no NUL, no half surrogate pair, at most `longest` characters."""
    if text is None:
        return None
    text = text if len(text) <= longest else text[:longest] + f"… ({len(text):,} characters)"
    return text.replace("\x00", "�").encode("utf-8", "replace").decode("utf-8")


def record_one(link: Link, token: UUID, outcome: Outcome, *, node: str) -> bool:
    """Record an outcome on behalf of a process that was killed. False: the lease no longer holds the job."""
    return bool(finish(link, [outcome], token=token, node=node, done=False))


def finish(link: Rows, batch: Sequence[Outcome], **shared: Any) -> set[UUID]:
    """Record outcomes in one transaction: attempts, the lease's end, and what follows from the jobs that moved.

    `shared` is token, node and whether the lease is done. Returns the ids that moved; the others are stale or locked.
    """
    if all(map(_is_plain, batch)):
        return {outcome.job_id for outcome in batch}.difference(row[0] for row in _finish_plain(link, batch, **shared))
    columns = columns_of(batch, **shared)
    with link.transaction():
        moved = link.rows("finish", **columns)
        _follow(link, batch, {id_: state for id_, state, _ in moved})
        if complete := {chord for _, _, chord in moved if chord}:
            release(link, sorted(complete))
    return {id_ for id_, _, _ in moved}


def _is_plain(outcome: Outcome) -> bool:
    return outcome.state == State.COMPLETED and not (
        outcome.in_chord
        or outcome.next_jobs
        or outcome.next_chords
        or outcome.error
        or outcome.progress
        or outcome.children
    )


def _finish_plain(link: Rows, batch: Sequence[Outcome], **shared: Any) -> list[tuple]:
    return link.rows(
        "finish_plain",
        **shared,
        ids=as_array(outcome.job_id.hex for outcome in batch),
        started=as_array(outcome.started_at.timestamp() for outcome in batch),
        finished=as_array(outcome.finished_at.timestamp() for outcome in batch),
        results=[outcome.result for outcome in batch] if any(outcome.result for outcome in batch) else None,
    )


def _follow(link: Rows, batch: Sequence[Outcome], states: Mapping[UUID, str]) -> None:
    """Insert what follows from outcomes that stand; an outcome that a wish to cancel overruled has no followers."""
    for outcome in batch:
        if states.get(outcome.job_id) == outcome.state:
            add_chords(link, outcome.next_chords)
            if outcome.next_jobs:
                enqueue_in(link, outcome.next_jobs)
    abandon(link.rows, [id_ for id_, state in states.items() if state in FINAL and state != State.COMPLETED])


def unstorable(outcome: Outcome, error: psycopg.DataError) -> Outcome:
    """The work is done, so its state stands; what can't be stored is replaced by the reason.

    A retry that can't be stored would run with other arguments or at another time than it asked for: a dead letter.
    """
    return replace(
        outcome,
        state=outcome.state if outcome.state in FINAL else State.DEAD_LETTER,
        end=outcome.end if outcome.state in FINAL else End.FAILED,
        delay=None,
        spent=0,
        next_jobs=(),
        next_chords=(),
        children=None,
        result=None,
        progress=None,
        args=None,
        kwargs=None,
        queue=None,
        priority=None,
        options=None,
        traceback=None,
        error=clean(f"the result can't be stored: {error}", LONGEST_ERROR),
    )


def columns_of(batch: Sequence[Outcome], **shared: Any) -> dict[str, Any]:
    return {
        **shared,
        "ids": [o.job_id for o in batch],
        "states": [str(o.state) for o in batch],
        "ends": [str(o.end) for o in batch],
        "started": [o.started_at for o in batch],
        "finished": [o.finished_at for o in batch],
        "results": [o.result for o in batch],
        "errors": [o.error for o in batch],
        "tracebacks": [o.traceback for o in batch],
        "delays": [o.delay for o in batch],
        "spent": [o.spent for o in batch],
        "args": [o.args for o in batch],
        "kwargs": [o.kwargs for o in batch],
        "queues": [o.queue for o in batch],
        "priorities": [o.priority for o in batch],
        "options": [o.options for o in batch],
        "progress": [o.progress for o in batch],
        "children": [o.children for o in batch],
        "final": [o.state in FINAL for o in batch],
    }
