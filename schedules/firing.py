"""What is due becomes occurrences and jobs: one transaction for a batch of schedules, which holds them locked."""

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from celery import Celery
from django.db import transaction

from jobs.engine import cancel
from jobs.engine.enqueue import enqueue, enqueue_all
from jobs.engine.finish import clean
from jobs.engine.link import jobs_alias
from jobs.engine.newjob import NewJob, job_key
from jobs.engine.unready import unready
from jobs.errors import JobsError

from .calls import Call
from .policy import Decision, Dice, Verdict, backoff, decide, joined
from .sql import as_json, rows
from .standing import NOTHING, Recent, Standing, read, recents
from .states import Decided, Kind
from .times import recurrence

logger = logging.getLogger("jobs")

BATCH = 200
"""Schedules of one transaction."""
LONGEST = 2_000
"""Characters of a reason."""
RUNS = (Decided.FIRED, Decided.WAITING)


@dataclass(slots=True)
class Plan:
    """What one look decides of a schedule."""

    of: Standing
    verdict: Verdict
    streak: int = 0
    calls: dict[datetime, Call] = field(default_factory=dict)
    """By due time, of the decisions to fire."""
    pause: str = ""
    """Why it pauses itself; empty: it does not."""
    runs: int = 0
    """Runs that were made, or that wait."""


def fire(app: Celery, now: datetime, *, dice: Dice, limit: int = BATCH) -> int:
    """Look at up to `limit` schedules that are due at `now`, in one transaction. Returns how many there were.

    When that fails, once more with a savepoint for each: one that can't be treated is put off, the others go on.
    Raises Django's errors when the database is away.
    """
    try:
        with transaction.atomic(using=jobs_alias()):
            ids = take(now, limit)
            look_at(app, ids, now, dice=dice)
            return len(ids)
    except Exception as error:
        if unready(error):
            raise
        logger.info("a batch of schedules is done one by one: %s", _line(error))
    with transaction.atomic(using=jobs_alias()):
        ids = take(now, limit)
        for id_ in ids:
            _alone(app, id_, now, dice)
        return len(ids)


def take(now: datetime, limit: int) -> list[int]:
    """Lock what is due and nobody else has locked."""
    return [id_ for (id_,) in rows("take", now=now, limit=limit)]


def look_at(
    app: Celery, ids: Sequence[int], now: datetime, *, dice: Dice, resumed_at: datetime | None = None
) -> list[Plan]:
    """Decide and write what becomes of locked schedules. With `resumed_at`, their pauses end then."""
    standings = read(ids)
    known = recents(standings)
    plans = [_plan(app, one, known.get(one.id, NOTHING), now, dice, resumed_at) for one in standings]
    _write(plans, now)
    return plans


def _alone(app: Celery, id_: int, now: datetime, dice: Dice) -> None:
    try:
        with transaction.atomic(using=jobs_alias()):
            look_at(app, [id_], now, dice=dice)
    except Exception as error:
        if unready(error):
            raise
        _put_off(id_, error, now)


def _put_off(id_: int, error: Exception, now: datetime) -> None:
    for one in read([id_]):
        wait = backoff(one.errors + 1)
        logger.error("schedule %r is put off for %.0f s: %s", one.name, wait, _line(error), extra={"schedule": id_})
        rows("err", id=id_, error=_line(error), retry_at=now + timedelta(seconds=wait))


def _plan(app: Celery, one: Standing, recent: Recent, now: datetime, dice: Dice, resumed_at: datetime | None) -> Plan:
    most = one.pause_after_failures
    if most and recent.streak >= most and one.paused_at is None:
        why = f"its last {recent.streak} jobs failed"
        return Plan(one, Verdict([], one.next_run_at, is_over=False), recent.streak, pause=why)
    facts = one.facts(now, recent, resumed_at=resumed_at)
    verdict = decide(recurrence(one.times), one.rules, facts, dice=dice)
    plan = Plan(one, verdict, 0 if one.paused_at else recent.streak)
    decisions = [_called(app, plan, decision, now) for decision in verdict.decisions]
    plan.verdict = replace(verdict, decisions=joined(decisions))
    return plan


def _called(app: Celery, plan: Plan, decision: Decision, now: datetime) -> Decision:
    """The decision, or why it can't be a call."""
    if decision.state != Decided.FIRED:
        return decision
    try:
        plan.calls[decision.due_at] = Call(app, plan.of, decision.run_at, now)
    except JobsError as error:
        return replace(decision, state=Decided.SKIPPED, reason=_line(error), run_at=None, cancels=(), joins=True)
    return decision


def _write(plans: Sequence[Plan], now: datetime) -> None:
    written = _decide(plans, _join(plans))
    _cancel(plans, written)
    _enqueue(plans, written)
    rows("settle", schedules=as_json(_settled(plan, now) for plan in plans))
    if counted := [plan for plan in plans if plan.runs or plan.verdict.is_over]:
        records = ({"id": p.of.id, "runs": p.runs, "is_over": p.verdict.is_over} for p in counted)
        rows("count", now=now, schedules=as_json(records))


def _join(plans: Iterable[Plan]) -> set[int]:
    """Schedules whose first decision was added to their latest occurrence."""
    firsts = [(plan.of.id, plan.verdict.decisions[0]) for plan in plans if plan.verdict.decisions]
    records = [
        {
            "schedule_id": id_,
            "last_due_at": first.last_due_at or first.due_at,
            "count": first.count,
            "state": first.state,
            "reason": first.reason,
        }
        for id_, first in firsts
        if first.joins
    ]
    return {id_ for (id_,) in rows("join", occurrences=as_json(records))} if records else set()


Written = dict[tuple[int, datetime], int]
"""Ids of occurrences by schedule and due time."""


def _decide(plans: Iterable[Plan], added: set[int]) -> Written:
    records = [
        record(plan.of.id, decision, plan.calls.get(decision.due_at))
        for plan in plans
        for decision in plan.verdict.decisions[plan.of.id in added :]
    ]
    if not records:
        return {}
    return {(schedule, due): id_ for id_, schedule, due in rows("decide", occurrences=as_json(records))}


def record(
    schedule: int, decision: Decision, call: Call | None, *, kind: Kind = Kind.SCHEDULE, actor: str = ""
) -> dict[str, Any]:
    return {
        "schedule_id": schedule,
        "due_at": decision.due_at,
        "last_due_at": decision.last_due_at,
        "count": decision.count,
        "kind": kind,
        "state": decision.state,
        "reason": decision.reason,
        "job_id": call.job.id if call is not None and call.job is not None else None,
        "run_at": decision.run_at,
        "waits_for": decision.waits_for,
        "actor": actor,
    }


def _cancel(plans: Iterable[Plan], written: Written) -> None:
    for plan in plans:
        for decision in plan.verdict.decisions:
            if decision.cancels and (plan.of.id, decision.due_at) in written:
                reason = f"the run of {decision.due_at:%Y-%m-%d %H:%M:%S} UTC takes its place"
                cancel(decision.cancels, actor=f"schedule {plan.of.name}", reason=reason)


def _enqueue(plans: Iterable[Plan], written: Written) -> None:
    """Make the jobs of occurrences that nobody wrote before."""
    mine = {(plan.of.id, due): call for plan in plans for due, call in plan.calls.items()}
    refused = make([(written[key], call) for key, call in mine.items() if key in written])
    for plan in plans:
        keys = [(plan.of.id, one.due_at) for one in plan.verdict.decisions if one.state in RUNS]
        plan.runs = sum(key in written and written[key] not in refused for key in keys)


def make(calls: Sequence[tuple[int, Call]]) -> set[int]:
    """Enqueue the calls of occurrences and correct those that come out otherwise; returns the refused ones' ids."""
    corrections: list[dict[str, Any]] = []
    for id_, call in calls:
        if call.job is None:
            corrections += _made_by_task(id_, call)
    jobs = [(id_, call.job) for id_, call in calls if call.job is not None]
    corrections += _made_together(jobs)
    if corrections:
        rows("correct", occurrences=as_json(corrections))
    return {one["id"] for one in corrections if one["state"] == Decided.SKIPPED}


def _made_together(jobs: Sequence[tuple[int, NewJob]]) -> list[dict[str, Any]]:
    if not jobs:
        return []
    with suppress(JobsError):
        keys = enqueue_all([job for _, job in jobs])
        return [_joined_to(id_, key) for (id_, job), key in zip(jobs, keys, strict=True) if key != job.id]
    return [correction for id_, job in jobs if (correction := _made_alone(id_, job))]


def _made_alone(id_: int, job: NewJob) -> dict[str, Any] | None:
    try:
        key = enqueue(job)
    except JobsError as error:
        return _refused(id_, error)
    return _joined_to(id_, key) if key != job.id else None


def _made_by_task(id_: int, call: Call) -> list[dict[str, Any]]:
    if not call.is_tracked:
        # No row stands for it; the broker may be away, which must not hold up the others.
        transaction.on_commit(call.make, using=jobs_alias(), robust=True)
        return []
    try:
        with transaction.atomic(using=jobs_alias()):
            return [{"id": id_, "state": Decided.FIRED, "job_id": job_key(call.make())}]
    except JobsError as error:
        return [_refused(id_, error)]


def _joined_to(id_: int, key: UUID) -> dict[str, Any]:
    return {"id": id_, "state": Decided.FIRED, "reason": f"job {key} holds its unique key", "job_id": key}


def _refused(id_: int, error: Exception) -> dict[str, Any]:
    return {"id": id_, "state": Decided.SKIPPED, "reason": _line(error)}


def _settled(plan: Plan, now: datetime) -> dict[str, Any]:
    record: dict[str, Any] = {
        "id": plan.of.id,
        "next_run_at": plan.verdict.next_run_at,
        "is_over": plan.verdict.is_over,
        "streak": plan.streak,
    }
    if plan.pause:
        logger.warning("schedule %r is paused: %s", plan.of.name, plan.pause, extra={"schedule": plan.of.id})
        record |= {"paused_at": now, "paused_by": "beat", "paused_reason": plan.pause}
    return record


def _line(error: Exception) -> str:
    return clean(" ".join(str(error).split()) or type(error).__name__, LONGEST) or ""
