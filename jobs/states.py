"""The states of a job and every legal move between them, as data.

SQL guards, admin buttons and the README's diagram are read from this table.
"""

from dataclasses import dataclass

from django.db.models import TextChoices


class State(TextChoices):
    SCHEDULED = "scheduled", "scheduled"  # waits for its time
    PENDING = "pending", "pending"  # may be dispatched
    DISPATCHED = "dispatched", "dispatched"  # leased; its lease is in the broker
    RUNNING = "running", "running"
    RETRYING = "retrying", "retrying"  # failed, waits for its next attempt
    COMPLETED = "completed", "completed"
    FAILED = "failed", "failed"  # final failure of a task that declares dead_letter=False
    DEAD_LETTER = "dead_letter", "dead letter"
    EXPIRED = "expired", "expired"  # its `expires` passed before it started


FINAL = frozenset({State.COMPLETED, State.FAILED, State.DEAD_LETTER, State.EXPIRED})
LIVE = frozenset(State) - FINAL
LEASED = frozenset({State.DISPATCHED, State.RUNNING})


class End(TextChoices):
    """How one attempt ended."""

    COMPLETED = "completed", "completed"
    FAILED = "failed", "failed"
    RETRIED = "retried", "failed, will retry"
    LOST = "lost", "lost"  # its worker died, or its outcome never reached the database


@dataclass(frozen=True, slots=True)
class Transition:
    """A named legal move: who makes it, from which states, to which."""

    name: str
    sources: frozenset[State]
    target: State
    actor: str


def _move(name: str, sources: set[State] | frozenset[State], target: State, actor: str) -> Transition:
    return Transition(name, frozenset(sources), target, actor)


PROMOTE = _move("promote", {State.SCHEDULED, State.RETRYING}, State.PENDING, "dispatcher")
DISPATCH = _move("dispatch", {State.PENDING}, State.DISPATCHED, "dispatcher")
START = _move("start", {State.DISPATCHED}, State.RUNNING, "worker")
COMPLETE = _move("complete", LEASED, State.COMPLETED, "worker")
RETRY = _move("retry", LEASED, State.RETRYING, "worker")
FAIL = _move("fail", LEASED, State.FAILED, "worker")
BURY = _move("bury", LEASED, State.DEAD_LETTER, "worker, reaper")
RETURN = _move("return", LEASED, State.PENDING, "worker, reaper")
EXPIRE = _move("expire", {State.SCHEDULED, State.PENDING, State.RETRYING}, State.EXPIRED, "dispatcher")
REQUEUE = _move("requeue", {State.DEAD_LETTER, State.FAILED, State.EXPIRED}, State.PENDING, "operator")

TRANSITIONS = (PROMOTE, DISPATCH, START, COMPLETE, RETRY, FAIL, BURY, RETURN, EXPIRE, REQUEUE)
