"""Operator verbs over schedules: each writes its audit entry with the change, in one transaction.

All take who asks; InvalidActor for nobody. Ids are those of periodic tasks; one that is gone is not among the answers.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from celery import Celery, current_app
from django.db import transaction
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from jobs.engine.control import audit, clock
from jobs.engine.link import jobs_alias
from jobs.engine.operators import who
from jobs.engine.payload import is_storable
from jobs.errors import InvalidPause, JobsError

from .calls import Call
from .errors import InvalidSchedule
from .firing import look_at, make, record
from .models import Occurrence, Schedule
from .policy import LEAST, Decision, Rules, first_due
from .recurrence import Recurrence, parse
from .sql import as_json, rows
from .standing import Standing, read
from .states import Decided, Kind
from .times import recurrence, times_of

RESOURCE = "schedule"
"""Of the audit entries; their id is that of the periodic task."""
LONGEST = 500
"""Characters of a reason."""
MOST = 10_000
"""Due times of a backfill that are looked at, and runs that it makes at once."""


class Ran(NamedTuple):
    """A run that was asked for: its job, or why there is none."""

    schedule: int
    job_id: UUID | None
    refused: str = ""


class Backfilled(NamedTuple):
    """Past due times of a range: all of them, those that have a run already, and the runs that were made now."""

    due: list[datetime]
    existing: list[datetime]
    made: list[UUID]
    more: bool
    """Whether the range holds more due times than were looked at."""


def run_now(ids: Sequence[int], *, actor: str, reason: str = "", ip: str | None = None) -> list[Ran]:
    """Run schedules once, now, also those that are paused or disabled, whatever their overlap policy says."""
    actor = who(actor)["actor"]
    with transaction.atomic(using=jobs_alias()):
        ran = []
        for of in _held(ids):
            decision = Decision(state=Decided.FIRED, due_at=clock())
            ran += _run(of, [decision], kind=Kind.MANUAL, actor=actor)
            detail = {"job": str(ran[-1].job_id or ""), "refused": ran[-1].refused}
            _audit("run", of, actor=actor, reason=reason, ip=ip, detail=detail)
        return ran


def pause(
    ids: Sequence[int], *, actor: str, reason: str = "", ip: str | None = None, until: datetime | None = None
) -> list[int]:
    """Let schedules fire no more, until somebody resumes them or until `until` (aware). Raises InvalidPause.

    One that is paused already gets the new reason and end. Returns the ids that are paused now.
    """
    actor = who(actor)["actor"]
    if len(reason) > LONGEST or not is_storable(reason):
        raise InvalidPause(f"The reason of a pause is text of up to {LONGEST} characters, without NUL.")
    if until is not None and (timezone.is_naive(until) or until <= clock()):
        raise InvalidPause(f"The end of a pause is {until!r}; expected a moment to come, with its time zone.")
    with transaction.atomic(using=jobs_alias()):
        held = _held(ids)
        for of in held:
            rows("pause", id=of.id, by=actor, reason=reason, until=until)
            detail = {"until": until.isoformat()} if until else {}
            _audit("pause", of, actor=actor, reason=reason, ip=ip, detail=detail)
    return [of.id for of in held]


def resume(ids: Sequence[int], *, actor: str, reason: str = "", ip: str | None = None) -> list[int]:
    """Let paused schedules fire again; what was due meanwhile is treated by their misfire policy. Returns the ids."""
    actor = who(actor)["actor"]
    with transaction.atomic(using=jobs_alias()):
        held = [of for of in _held(ids) if of.paused_at is not None]
        for of in held:
            _resume(of)
            _audit("resume", of, actor=actor, reason=reason, ip=ip, detail={"paused_by": of.paused_by})
    return [of.id for of in held]


def set_enabled(ids: Sequence[int], enabled: bool, *, actor: str, reason: str = "", ip: str | None = None) -> list[int]:
    """Switch schedules on or off. Returns the ids that changed."""
    actor = who(actor)["actor"]
    with transaction.atomic(using=jobs_alias()):
        held = [of for of in _held(ids) if of.enabled != enabled]
        PeriodicTask.objects.using(jobs_alias()).filter(pk__in=[of.id for of in held]).update(enabled=enabled)
        for of in held:
            _audit("enable" if enabled else "disable", of, actor=actor, reason=reason, ip=ip)
    return [of.id for of in held]


def delete(ids: Sequence[int], *, actor: str, reason: str = "", ip: str | None = None) -> list[int]:
    """Delete schedules with their history; their jobs stay. Returns the ids that are gone now."""
    actor = who(actor)["actor"]
    with transaction.atomic(using=jobs_alias()):
        held = _held(ids)
        for of in held:
            _audit("delete", of, actor=actor, reason=reason, ip=ip, detail={"task": of.task})
        PeriodicTask.objects.using(jobs_alias()).filter(pk__in=[of.id for of in held]).delete()
    return [of.id for of in held]


def backfill(
    id_: int,
    *,
    start: datetime,
    end: datetime,
    actor: str,
    reason: str = "",
    ip: str | None = None,
    dry_run: bool = False,
    cap: int = 100,
    spread: float = 0.0,
) -> Backfilled:
    """Run the due times from `start` up to `end` (aware, past) that have no run yet, the earliest `cap` of them.

    The runs start over `spread` seconds, whatever the overlap policy says. Raises InvalidSchedule.
    """
    actor = who(actor)["actor"]
    now = clock()
    _check_range(start, end, now, cap)
    with transaction.atomic(using=jobs_alias()):
        found = _held([id_])
        if not found:
            raise InvalidSchedule(f"There is no schedule {id_}. It may have been deleted.")
        of = found[0]
        due = _between(recurrence(of.times), start, end)
        existing = _fired(id_, due)
        left = [each for each in due[:MOST] if each not in existing][:cap]
        ran = [] if dry_run else _run(of, _spread(left, now, spread), kind=Kind.BACKFILL, actor=actor)
        if not dry_run:
            detail = {"start": start.isoformat(), "end": end.isoformat(), "runs": len(ran)}
            _audit("backfill", of, actor=actor, reason=reason, ip=ip, detail=detail)
    made = [one.job_id for one in ran if one.job_id is not None]
    return Backfilled(due[:MOST], sorted(existing), made, more=len(due) > MOST)


def preview(what: PeriodicTask | str, count: int = 10, *, zone: str = "UTC") -> list[datetime]:
    """The next due times (UTC) of a periodic task, saved or not, or of a text such as `0 8 * * mon`.

    Fewer where start, end or a one-off leave fewer. Raises InvalidSchedule.
    """
    now = clock()
    if isinstance(what, str):
        return _next(parse(what, zone=ZoneInfo(zone), now=now), Rules(), now, count)
    known = Schedule.objects.using(jobs_alias()).filter(pk=what.pk).first() if what.pk else None
    times = times_of(what, known.anchor_at if known else now)
    rules = Rules(starts_at=what.start_time, ends_at=what.expires)
    return _next(recurrence(times), rules, now, 1 if what.one_off else count)


def _held(ids: Iterable[int]) -> list[Standing]:
    """Schedules by id, locked."""
    return read([id_ for (id_,) in rows("hold", ids=sorted(set(ids)))])


def _resume(of: Standing) -> None:
    if not of.enabled:
        rows("unpause", id=of.id)
        return
    # What was due while it was paused is decided here and now, by the same rules as in the beat.
    now = clock()
    look_at(_app(), [of.id], now, dice=random.random, resumed_at=now)


def _run(of: Standing, decisions: Sequence[Decision], *, kind: Kind, actor: str) -> list[Ran]:
    """Occurrences with their jobs, beside those that the schedule makes itself."""
    calls: dict[datetime, Call] = {}
    refused: dict[datetime, str] = {}
    for one in decisions:
        try:
            calls[one.due_at] = Call(_app(), of, one.run_at, one.due_at if kind == Kind.MANUAL else clock())
        except JobsError as error:
            refused[one.due_at] = str(error)
    records = [
        record(of.id, one, calls.get(one.due_at), kind=kind, actor=actor)
        | ({"state": Decided.SKIPPED, "reason": refused[one.due_at]} if one.due_at in refused else {})
        for one in decisions
    ]
    written = {due: id_ for id_, _, due in rows("decide", occurrences=as_json(records))} if records else {}
    make([(written[due], call) for due, call in calls.items() if due in written])
    return [
        Ran(of.id, one.job_id, one.reason if one.state == Decided.SKIPPED else "")
        for one in Occurrence.objects.using(jobs_alias()).filter(pk__in=written.values()).order_by("due_at")
    ]


def _check_range(start: datetime, end: datetime, now: datetime, cap: int) -> None:
    if timezone.is_naive(start) or timezone.is_naive(end) or not start <= end <= now:
        raise InvalidSchedule(
            f"A backfill from {start.isoformat()} to {end.isoformat()} can't be. Expected two moments that have "
            "passed, with their time zones, the earlier one first."
        )
    if not 1 <= cap <= MOST:
        raise InvalidSchedule(f"A backfill of {cap} runs can't be. Expected 1 to {MOST:,}.")


def _between(times: Recurrence, start: datetime, end: datetime) -> list[datetime]:
    found: list[datetime] = []
    due = times.after(start - LEAST)
    while due is not None and due <= end and len(found) <= MOST:
        found.append(due)
        due = times.after(due)
    return found


def _fired(id_: int, due: Sequence[datetime]) -> set[datetime]:
    """Those that have a run: of the schedule, or of an earlier backfill."""
    if not due:
        return set()
    runs = Occurrence.objects.using(jobs_alias()).filter(schedule_id=id_, state__in=[Decided.FIRED, Decided.WAITING])
    known = set(runs.filter(due_at__range=(due[0], due[-1])).exclude(kind=Kind.MANUAL).values_list("due_at", flat=True))
    return known & set(due)


def _spread(due: Sequence[datetime], now: datetime, seconds: float) -> list[Decision]:
    starts = [now + timedelta(seconds=seconds * place / len(due)) for place in range(len(due))]
    return [
        Decision(state=Decided.FIRED, due_at=each, run_at=start if start > now else None)
        for each, start in zip(due, starts, strict=True)
    ]


def _next(times: Recurrence, rules: Rules, now: datetime, count: int) -> list[datetime]:
    found: list[datetime] = []
    due = first_due(times, rules, now)
    while due is not None and len(found) < count:
        found.append(due)
        due = first_due(times, rules, due)
    return found


def _audit(action: str, of: Standing, *, detail: Mapping[str, Any] | None = None, **entry: Any) -> None:
    audit(action, (RESOURCE, str(of.id)), detail={"name": of.name, **(detail or {})}, **entry)


def _app() -> Celery:
    return current_app._get_current_object()
