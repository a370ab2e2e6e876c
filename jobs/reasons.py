"""Why a job is not running: every reason that holds, in the order in which it has to go."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from .states import FINAL, WAITING, State

COUNTED = 10_000
"""Jobs ahead of one that are counted."""
SOON = 300.0
"""Seconds before its expiry from which a waiting job is said to expire soon."""
UP = "`python3 manage.py up`"


@dataclass(frozen=True, slots=True)
class Reason:
    """`code` is for programs; `text` says what is, `advice` what to do: empty when there is nothing to do."""

    code: str
    text: str
    advice: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Paused:
    """One pause that holds the job: of its queue, its task, its key or one of its tags."""

    kind: str
    what: str
    at: datetime
    by: str = ""
    reason: str = ""
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What is known of a job and of those it depends on; moments are aware, by the database's clock."""

    now: datetime
    state: State
    queue: str
    attempt: int = 0
    run_at: datetime | None = None
    expires_at: datetime | None = None
    error: str | None = None
    worker: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    dispatchers: int = 0
    workers: int = 0
    """Live workers that serve its queue."""
    slots: int = 0
    """Jobs that those run at once."""
    carriers: int = 0
    """Messages that those have, or that wait for them; several of one short job each count as one."""
    ahead: int = 0
    """Pending jobs of its queue before it, counted to COUNTED + 1."""
    pauses: tuple["Paused", ...] = ()
    waits_for: str = ""
    """The chord or job that it waits for, and "" where nobody knows any more."""
    members_left: int = 0
    members_failed: int = 0
    sent_at: datetime | None = None
    """When its lease went to the broker."""
    is_lease_gone: bool = False
    """Whether it has a lease that nobody knows of."""


def reasons(facts: Facts) -> list[Reason]:
    """At least one; the first is the one to see to first."""
    if facts.state in FINAL:
        return [_final(facts)]
    if facts.state in WAITING:
        return [*_waits(facts), *_nobody_comes(facts), *_has_a_place(facts)] or [
            Reason("next", "It is next: the dispatcher takes it as soon as it looks.")
        ]
    return list(_with_workers(facts))


def _waits(facts: Facts) -> Iterator[Reason]:
    due = facts.run_at is not None and facts.run_at > facts.now
    if facts.state == State.SCHEDULED and due:
        yield Reason("not_due", f"It is scheduled for {_at(facts.run_at)}, {_span(facts.now, facts.run_at)} from now.")
    if facts.state == State.RETRYING and due:
        yield Reason(
            "retrying",
            f"Attempt {facts.attempt} failed ({_line(facts.error)}); it runs again at {_at(facts.run_at)}, "
            f"{_span(facts.now, facts.run_at)} from now.",
            "Cancel it if it will fail again.",
        )
    if facts.expires_at is not None and (facts.expires_at - facts.now).total_seconds() < SOON:
        yield Reason(
            "expires_soon",
            f"It expires at {_at(facts.expires_at)} unless it starts before.",
            "Boost it if it still matters.",
        )
    yield from map(_paused, facts.pauses)
    if facts.state == State.PAUSED and not facts.pauses:
        yield Reason("resumed", "What held it is not paused any more: the dispatcher lets it go within seconds.")
    if facts.state == State.BLOCKED:
        yield _blocked(facts)


def _paused(pause: Paused) -> Reason:
    by = f" by {pause.by}" if pause.by else ""
    until = f" until {_at(pause.until)}" if pause.until else ""
    why = f": {pause.reason}" if pause.reason else ", without a reason"
    return Reason(
        "paused",
        f"Its {pause.kind} {pause.what} was paused{by} at {_at(pause.at)}{until}{why}.",
        f"Resume it: `python3 manage.py jobs resume {pause.kind} {shlex.quote(pause.what)}`.",
    )


def _blocked(facts: Facts) -> Reason:
    if not facts.waits_for:
        return Reason("blocked", "It waits for jobs that are gone.", "Cancel it, or call it again.")
    if facts.members_failed:
        return Reason(
            "blocked",
            f"It waits for {facts.waits_for}; {facts.members_failed:,} of its jobs did not complete.",
            "Requeue those that failed, or cancel this job.",
        )
    return Reason("blocked", f"It waits for {facts.waits_for}: {_jobs(facts.members_left)} left to complete.")


def _nobody_comes(facts: Facts) -> Iterator[Reason]:
    if not facts.dispatchers:
        yield Reason("no_dispatcher", "No dispatcher is at work.", f"Start `python3 manage.py dispatch` or {UP}.")
    if not facts.workers:
        yield Reason(
            "no_worker",
            f"No live worker serves its queue {facts.queue}.",
            f"Start `celery -A jobsite worker` or {UP}.",
        )


def _has_a_place(facts: Facts) -> Iterator[Reason]:
    """What holds a job up that may run: only those before it in its queue, and room at the workers."""
    if facts.state != State.PENDING:
        return
    if facts.workers and facts.carriers >= 2 * facts.slots:
        yield Reason(
            "no_room",
            f"Every worker is busy: {facts.carriers:,} leases are out for {facts.slots:,} slots.",
            "Wait, or start more workers.",
        )
    if facts.ahead:
        more = "more than " if facts.ahead > COUNTED else ""
        count = min(facts.ahead, COUNTED)
        yield Reason(
            "outranked",
            f"It is outranked by {more}{_jobs(count)} of its queue.",
            "Boost it: `python3 manage.py jobs boost ID POINTS`.",
        )


def _with_workers(facts: Facts) -> Iterator[Reason]:
    if facts.cancel_requested_at is not None:
        yield Reason(
            "cancel_requested",
            f"Its worker was asked at {_at(facts.cancel_requested_at)} to stop it.",
            "Wait for that.",
        )
    if facts.is_lease_gone:
        yield Reason(
            "lease_gone",
            "Its lease is gone, so nobody would notice the loss of its worker.",
            "Nothing: the dispatcher looks for such jobs all the time and gives them back.",
        )
    elif facts.state == State.RUNNING or facts.worker:
        since = f" since {_at(facts.started_at)}" if facts.started_at else ""
        yield Reason("running", f"It runs on {facts.worker or 'a worker'}{since}.")
    elif facts.sent_at is not None:
        yield Reason(
            "not_won",
            f"Its lease went to the broker at {_at(facts.sent_at)} and no worker has taken it yet.",
            "Nothing: a lease that nobody takes goes back by itself.",
        )
    else:
        yield Reason("dispatched", "It is on its way to a worker.")


def _final(facts: Facts) -> Reason:
    at = f" at {_at(facts.finished_at)}" if facts.finished_at else ""
    why = f": {_line(facts.error)}" if facts.error else ""
    match facts.state:
        case State.COMPLETED:
            return Reason("completed", f"It completed{at}.")
        case State.CANCELLED:
            return Reason("cancelled", f"It was cancelled{at}{why}.", REQUEUE)
        case State.EXPIRED:
            return Reason("expired", f"It expired{at}: nobody started it in time.", REQUEUE)
    return Reason(
        str(facts.state),
        f"It failed for good{at}, after {facts.attempt} attempt{'' if facts.attempt == 1 else 's'}{why}.",
        f"Mend the cause. {REQUEUE}",
    )


REQUEUE = "Requeue it: `python3 manage.py jobs retry ID`."


def _at(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else "no time"


def _span(start: datetime, end: datetime | None) -> str:
    seconds = int((end - start).total_seconds()) if end else 0
    return f"{seconds // 3600} h {seconds % 3600 // 60} min" if seconds >= 3600 else f"{seconds} s"


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count:,} jobs"


def _line(text: str | None) -> str:
    return (text or "no reason is recorded").strip().partition("\n")[0][:200]
