"""The states of a job and every legal move between them, as data.

SQL guards, admin buttons and the README's diagram are read from this table.
"""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    BLOCKED = "blocked"  # waits for other jobs
    SCHEDULED = "scheduled"  # waits for its time
    PENDING = "pending"  # may be dispatched
    PAUSED = "paused"  # set aside while its task, key or tag is paused
    DISPATCHED = "dispatched"  # leased; its lease is in the broker
    RUNNING = "running"
    RETRYING = "retrying"  # failed, waits for its next attempt
    COMPLETED = "completed"
    FAILED = "failed"  # final failure of a task that declares dead_letter=False
    DEAD_LETTER = "dead_letter"
    CANCELLED = "cancelled"
    EXPIRED = "expired"  # its `expires` passed before it started


FINAL = frozenset({State.COMPLETED, State.FAILED, State.DEAD_LETTER, State.CANCELLED, State.EXPIRED})
LIVE = frozenset(State) - FINAL
LEASED = frozenset({State.DISPATCHED, State.RUNNING})
WAITING = LIVE - LEASED


class End(StrEnum):
    """How one attempt ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    RETRIED = "retried"  # failed, will run again
    CANCELLED = "cancelled"  # stopped because someone asked
    LOST = "lost"  # its worker died, or its outcome never reached the database


def choices(words: type[StrEnum]) -> list[tuple[str, str]]:
    """The words of a closed set for a Django field: value and label."""
    return [(word.value, word.value.replace("_", " ")) for word in words]


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
SNOOZE = _move("snooze", LEASED, State.SCHEDULED, "worker")
FAIL = _move("fail", LEASED, State.FAILED, "worker")
BURY = _move("bury", LEASED, State.DEAD_LETTER, "worker, reaper")
RETURN = _move("return", LEASED, State.PENDING, "worker, reaper")
HOLD = _move("hold", {State.PENDING}, State.PAUSED, "dispatcher")
RESUME = _move("resume", {State.PAUSED}, State.PENDING, "dispatcher")
POSTPONE = _move("postpone", {State.SCHEDULED, State.PENDING, State.PAUSED}, State.SCHEDULED, "operator")
POSTPONE_RETRY = _move("postpone retry", {State.RETRYING}, State.RETRYING, "operator")
CANCEL = _move("cancel", WAITING, State.CANCELLED, "operator")
STOP = _move("stop", LEASED, State.CANCELLED, "worker, reaper")
REPLACE = _move("replace", LEASED, State.BLOCKED, "worker")
RELEASE = _move("release", {State.BLOCKED}, State.PENDING, "worker, dispatcher")
RELEASE_LATER = _move("release later", {State.BLOCKED}, State.SCHEDULED, "worker, dispatcher")
EXPIRE = _move("expire", WAITING - {State.BLOCKED}, State.EXPIRED, "dispatcher")
REQUEUE = _move("requeue", {State.DEAD_LETTER, State.FAILED, State.CANCELLED, State.EXPIRED}, State.PENDING, "operator")
REOPEN = _move("reopen", REQUEUE.sources, State.BLOCKED, "operator")
REQUEUE_LATER = _move("requeue later", REQUEUE.sources, State.SCHEDULED, "operator")
ESCALATE = _move("escalate", {State.FAILED}, State.DEAD_LETTER, "operator")
DISMISS = _move("dismiss", {State.DEAD_LETTER}, State.FAILED, "operator")

TRANSITIONS = (
    *(PROMOTE, DISPATCH, START, COMPLETE, RETRY, SNOOZE, FAIL, BURY, RETURN, REPLACE, RELEASE, RELEASE_LATER),
    *(HOLD, RESUME, POSTPONE, POSTPONE_RETRY, CANCEL, STOP, EXPIRE, REQUEUE, REOPEN, REQUEUE_LATER, ESCALATE, DISMISS),
)


def diagram() -> str:
    """The table as a Mermaid state diagram, for the README."""
    births = [f"    [*] --> {state}: enqueue" for state in (State.PENDING, State.SCHEDULED, State.BLOCKED)]
    moves = [
        f"    {source} --> {move.target}: {move.name}"
        for move in TRANSITIONS
        for source in State
        if source in move.sources
    ]
    return "\n".join(["stateDiagram-v2", *births, *moves])
