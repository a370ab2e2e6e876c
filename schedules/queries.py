"""What is known of schedules, for those who show it; read only. Rows become plain values that JSON can carry."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import OuterRef, Q, QuerySet, Subquery
from django_celery_beat.models import PeriodicTask

from jobs.engine.link import jobs_alias
from jobs.models import Job
from jobs.queries import STATUS
from jobs.states import State

from .errors import ScheduleNotFound
from .fields import fields_of, recurrence_of
from .models import Occurrence
from .policy import Rules, first_due
from .recurrence import Once
from .times import EPOCH

HIGHEST = 2**63 - 1
"""A page begins below its cursor."""


class Page(NamedTuple):
    rows: list[dict[str, Any]]
    next_cursor: int | None
    """Where the next page begins; None: this is the last one."""


def schedules() -> QuerySet[PeriodicTask]:
    """With all that `describe` reads, but for the jobs of their latest runs."""
    latest = Occurrence.objects.filter(schedule_id=OuterRef("pk"), job_id__isnull=False).order_by("-id")
    found = PeriodicTask.objects.using(jobs_alias()).filter(companion__isnull=False)
    related = found.select_related("companion", "interval", "crontab", "solar", "clocked")
    return related.annotate(latest_run=Subquery(latest.values("id")[:1]))


def find(key: int | str) -> PeriodicTask:
    """By its id, which digits are, or by its name. Raises ScheduleNotFound."""
    is_id = isinstance(key, int) or (key.isascii() and key.isdecimal() and len(key) < 20)
    which = Q(pk=int(key)) if is_id else Q(name=key)
    found = None if "\x00" in str(key) else schedules().filter(which).first()
    if found is None:
        raise ScheduleNotFound(key)
    return found


def page(found: QuerySet[PeriodicTask], *, after: int = 0, limit: int = 100) -> Page:
    """Some of `chosen`, in the order of their ids. Three queries, whatever the number."""
    tasks = list(found.filter(pk__gt=after).order_by("pk")[: limit + 1])
    shown = tasks[:limit]
    return Page(describe_all(shown), shown[-1].pk if len(tasks) > limit else None)


def chosen(*, q: str = "", task: str | None = None, enabled: bool | None = None) -> QuerySet[PeriodicTask]:
    """`q` is a part of the name."""
    found = schedules()
    found = found.filter(name__icontains=q) if q else found
    found = found.filter(task=task) if task is not None else found
    return found.filter(enabled=enabled) if enabled is not None else found


def describe(task: PeriodicTask) -> dict[str, Any]:
    """Everything about one schedule of `schedules`."""
    return describe_all([task])[0]


def describe_all(tasks: Sequence[PeriodicTask]) -> list[dict[str, Any]]:
    ids = [task.latest_run for task in tasks if task.latest_run is not None]
    runs = Occurrence.objects.using(jobs_alias()).in_bulk(ids) if ids else {}
    states = _states(run.job_id for run in runs.values())
    return [_describe(task, runs.get(task.latest_run), states) for task in tasks]


def history(id_: int, *, state: str | None = None, before: int | None = None, limit: int = 100) -> Page:
    """The occurrences of a schedule, the latest decision first."""
    found = Occurrence.objects.using(jobs_alias()).filter(schedule_id=id_, id__lt=HIGHEST if before is None else before)
    found = found.filter(state=state) if state is not None else found
    occurrences = list(found.order_by("-id")[: limit + 1])
    shown = occurrences[:limit]
    states = _states(one.job_id for one in shown)
    rows = [_occurrence(one, states) for one in shown]
    return Page(rows, shown[-1].pk if len(occurrences) > limit else None)


def next_run(task: PeriodicTask) -> datetime | None:
    """When it is due next, also while no beat has computed it; None: disabled, paused or over."""
    own = task.companion
    if not task.enabled or not own.active or own.is_paused:
        return None
    times = recurrence_of(task)
    if own.next_run_at is not None or times is None:
        return own.next_run_at
    since = EPOCH if isinstance(times, Once) else own.edited_at
    return first_due(times, Rules(starts_at=task.start_time, ends_at=task.expires), since)


def state_of(task: PeriodicTask) -> str:
    """`enabled`, `paused` or `disabled`."""
    if not task.enabled:
        return "disabled"
    return "paused" if task.companion.is_paused else "enabled"


def _describe(task: PeriodicTask, run: Occurrence | None, states: dict[UUID, str]) -> dict[str, Any]:
    own, times, fields = task.companion, recurrence_of(task), asdict(fields_of(task))
    fields["timezone"] = fields.pop("zone")
    return {
        "id": task.pk,
        **fields,
        "words": times.describe() if times else "",
        "state": state_of(task),
        "next_run_at": next_run(task),
        "last_run_at": run.decided_at if run else task.last_run_at,
        "last_run": _occurrence(run, states) if run else None,
        "runs": task.total_run_count,
        "failure_streak": own.failure_streak,
        "paused": _pause(task),
        "error": own.error or None,
        "owner": own.managed_by or None,
        "editable": own.managed_by == "" or own.editable or own.withdrawn,
        "updated_at": task.date_changed,
    }


def _pause(task: PeriodicTask) -> dict[str, Any] | None:
    own = task.companion
    if not own.is_paused:
        return None
    return {"at": own.paused_at, "by": own.paused_by, "reason": own.paused_reason, "until": own.paused_until}


def _occurrence(one: Occurrence, states: dict[UUID, str]) -> dict[str, Any]:
    job_state = states.get(one.job_id) if one.job_id else None
    return {
        "id": one.pk,
        "due_at": one.due_at,
        "last_due_at": one.last_due_at,
        "count": one.count,
        "kind": one.kind,
        "state": one.state,
        "reason": one.reason,
        "late": one.late,
        "job_id": one.job_id,
        "job_status": STATUS.get(State(job_state), job_state) if job_state else None,
        "run_at": one.run_at,
        "waits_for": one.waits_for,
        "decided_at": one.decided_at,
        "actor": one.actor or None,
    }


def _states(ids: Iterable[UUID | None]) -> dict[UUID, str]:
    """States of the jobs that are still there."""
    known = [id_ for id_ in ids if id_ is not None]
    return dict(Job.objects.using(jobs_alias()).filter(pk__in=known).values_list("pk", "state")) if known else {}
