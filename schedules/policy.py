"""What becomes of due times, as pure functions: no database, no clock and no dice of their own."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from jobs.states import State

from .recurrence import Recurrence
from .states import Decided, Misfire, Overlap

LOOK = 2_500
"""Due times that one look at a schedule considers; a longer backlog takes several looks."""
AT_ONCE = 100
"""Runs on time that one look starts."""
LEAST = timedelta(microseconds=1)
FAILURES = frozenset({State.FAILED, State.DEAD_LETTER})

Dice = Callable[[], float]
"""Draws from [0, 1)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What was asked for of a schedule. Durations are seconds."""

    overlap: Overlap = Overlap.ALLOW
    misfire: Misfire = Misfire.RUN_ONCE
    cap: int = 100
    spread: float = 0.0
    window: float = 60.0
    jitter: float = 0.0
    runs_left: int | None = None
    """None: no limit; a one-off has 1."""
    starts_at: datetime | None = None
    ends_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """How a schedule stands."""

    now: datetime
    next_run_at: datetime | None
    """None: to be computed."""
    since: datetime
    """Due times are made up only after it; one that was `next_run_at` before stays."""
    running: Sequence[UUID] = ()
    """Jobs of the schedule that are not over."""
    is_waiting: bool = False
    """Whether an occurrence waits for one of them."""
    paused_until: datetime | None = None
    """The end of a pause that is over now: what was due before it was held."""
    paused_why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """One occurrence to write; fired ones get a job."""

    state: Decided
    due_at: datetime
    last_due_at: datetime | None = None
    count: int = 1
    reason: str = ""
    run_at: datetime | None = None
    """Start of its job; None: at once."""
    cancels: tuple[UUID, ...] = ()
    """Jobs to cancel first."""
    waits_for: UUID | None = None
    joins: bool = False
    """Whether it is added to the occurrence before it, if the same was decided of that for the same reason."""


@dataclass(frozen=True, slots=True)
class Verdict:
    decisions: list[Decision]
    next_run_at: datetime | None
    is_over: bool
    """Nothing will be due any more."""


def decide(recurrence: Recurrence, rules: Rules, facts: Facts, *, dice: Dice, look: int = LOOK) -> Verdict:
    """What becomes of everything that is due by now, and when the schedule is due next.

    Of a long backlog only its beginning, so that the next run is a time that has passed: look again.
    """
    if rules.runs_left is not None and rules.runs_left <= 0:
        return Verdict([], None, is_over=True)
    dues, following = _due_by_now(recurrence, rules, facts, look)
    belated = [due for due in dues if _is_belated(due, rules, facts)]
    timely = dues[len(belated) :]
    if following is not None and following <= facts.now and not timely and len(belated) > (keep := _kept(rules)):
        # The policy is for the end of the backlog, which is further on.
        first = belated[-keep] if keep else following
        return Verdict(joined(_unrun(belated[: len(belated) - keep], rules, facts)), first, is_over=False)
    runs, unrun = _belated(belated, rules, facts, dice)
    runs += [_run(due, facts, rules, dice) for due in timely[:AT_ONCE]]
    rest = timely[AT_ONCE] if len(timely) > AT_ONCE else following
    decided = _overlapping(runs, rules, facts)
    is_over = rest is None or _spent(decided, rules)
    return Verdict(joined([*unrun, *decided]), None if is_over else rest, is_over)


def first_due(recurrence: Recurrence, rules: Rules, since: datetime) -> datetime | None:
    """The first due time after a moment, between start and end."""
    if rules.starts_at is not None:
        # At the start itself it may be due.
        since = max(since, rules.starts_at - LEAST)
    return _in_time(recurrence.after(since), rules)


def joined(decisions: list[Decision]) -> list[Decision]:
    """Neighbours of which the same was decided for the same reason are one occurrence: a backlog may be long."""
    found: list[Decision] = []
    for one in decisions:
        last = found[-1] if found else None
        if last is not None and one.state == last.state != Decided.FIRED and one.reason == last.reason:
            found[-1] = replace(last, last_due_at=one.last_due_at or one.due_at, count=last.count + one.count)
        else:
            found.append(one)
    return found


def failures_in_a_row(ends: Iterable[State | None]) -> int:
    """How many jobs have failed since the last one that completed; the latest first, None is not over.

    A cancelled or an expired job says nothing about the task.
    """
    count = 0
    for end in ends:
        if end == State.COMPLETED:
            break
        count += end in FAILURES
    return count


def backoff(errors: int) -> float:
    """Seconds until the beat looks again at a schedule that made its nth error in a row."""
    return float(min(3600, 2 ** min(errors, 12)))


def _due_by_now(
    recurrence: Recurrence, rules: Rules, facts: Facts, look: int
) -> tuple[list[datetime], datetime | None]:
    """Up to `look` due times that have come, and the one after them."""
    due = _in_time(facts.next_run_at, rules) if facts.next_run_at else first_due(recurrence, rules, facts.since)
    dues: list[datetime] = []
    while due is not None and due <= facts.now and len(dues) < look:
        dues.append(due)
        due = first_due(recurrence, rules, max(due, facts.since))
    return dues, due


def _in_time(due: datetime | None, rules: Rules) -> datetime | None:
    return due if due is not None and (rules.ends_at is None or due < rules.ends_at) else None


def _is_belated(due: datetime, rules: Rules, facts: Facts) -> bool:
    return _was_held(due, facts) or (facts.now - due).total_seconds() > rules.window


def _was_held(due: datetime, facts: Facts) -> bool:
    return facts.paused_until is not None and due < facts.paused_until


def _kept(rules: Rules) -> int:
    """How many of the latest belated due times the policy may run or count as one."""
    return {Misfire.SKIP: 0, Misfire.RUN_ONCE: 1, Misfire.RUN_ALL: rules.cap}[rules.misfire]


def _belated(belated: list[datetime], rules: Rules, facts: Facts, dice: Dice) -> tuple[list[Decision], list[Decision]]:
    """The runs and the misses that the policy makes of due times that were found too late."""
    if not belated or rules.misfire == Misfire.SKIP:
        return [], _unrun(belated, rules, facts)
    if rules.misfire == Misfire.RUN_ONCE:
        one = _run(belated[0], facts, rules, dice)
        reason = f"once for {len(belated)} due times" if len(belated) > 1 else ""
        last = belated[-1] if len(belated) > 1 else None
        return [replace(one, last_due_at=last, count=len(belated), reason=reason)], []
    late = belated[-rules.cap :]
    gap = rules.spread / len(late)
    runs = [_run(due, facts, rules, dice, delay=gap * place) for place, due in enumerate(late)]
    return runs, _unrun(belated[: -rules.cap], rules, facts)


def _unrun(dues: Sequence[datetime], rules: Rules, facts: Facts) -> list[Decision]:
    return [
        Decision(state=Decided.SKIPPED, due_at=due, reason=facts.paused_why, joins=True)
        if _was_held(due, facts)
        else Decision(state=Decided.MISSED, due_at=due, reason=f"found more than {rules.window:g} s late", joins=True)
        for due in dues
    ]


def _run(due: datetime, facts: Facts, rules: Rules, dice: Dice, *, delay: float = 0.0) -> Decision:
    """A run of its own; the dice are thrown for each, and the due time stays what it is."""
    start = max(due, facts.now) if delay else due
    start += timedelta(seconds=delay + (dice() * rules.jitter if rules.jitter else 0.0))
    return Decision(state=Decided.FIRED, due_at=due, run_at=start if start > facts.now else None)


@dataclass(slots=True)
class _Place:
    """What is in the way of the next run."""

    running: tuple[UUID, ...]
    waits: bool
    started: list[datetime] = field(default_factory=list)
    """Due times of the runs that this look starts."""


def _overlapping(runs: list[Decision], rules: Rules, facts: Facts) -> list[Decision]:
    """What the overlap policy makes of runs, one after the other, within the number that is left."""
    place, left, decided = _Place(tuple(facts.running), facts.is_waiting), rules.runs_left, list[Decision]()
    for number, run in enumerate(runs):
        if left == 0:
            break
        is_last = number == len(runs) - 1 or left == 1
        decided.append(_overlap(run, rules.overlap, place, is_last))
        if left is not None and decided[-1].state in (Decided.FIRED, Decided.WAITING):
            left -= 1
    return decided


def _overlap(run: Decision, policy: Overlap, place: _Place, is_last: bool) -> Decision:
    blocked = bool(place.running or place.started)
    if policy == Overlap.CANCEL_RUNNING:
        if not is_last:
            return _skipped(run, "a later run was due by the time that it was looked at")
        return replace(run, cancels=place.running)
    if policy == Overlap.ALLOW or not blocked:
        place.started.append(run.due_at)
        return run
    if policy == Overlap.SKIP or place.waits or not place.running:
        return _skipped(run, "another run waits already" if place.waits else _in_the_way(place))
    place.waits = True
    return replace(run, state=Decided.WAITING, reason=_in_the_way(place), run_at=None, waits_for=place.running[0])


def _in_the_way(place: _Place) -> str:
    if place.running:
        return f"job {place.running[0]} is not over"
    return f"the run of {place.started[-1]:%Y-%m-%d %H:%M:%S} UTC is not over"


def _skipped(run: Decision, reason: str) -> Decision:
    return replace(run, state=Decided.SKIPPED, reason=reason, run_at=None)


def _spent(decided: Iterable[Decision], rules: Rules) -> bool:
    if rules.runs_left is None:
        return False
    return sum(one.state in (Decided.FIRED, Decided.WAITING) for one in decided) >= rules.runs_left
