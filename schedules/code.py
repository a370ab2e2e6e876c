"""Declared schedules as rows: written after a migrate and when a beat starts."""

import difflib
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from celery import Celery, schedules
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import transaction
from django_celery_beat.models import PeriodicTask
from kombu.utils.json import dumps

from jobs.engine.link import jobs_alias
from jobs.engine.newjob import priority_number
from jobs.errors import JobsError

from .calls import tasks
from .declared import Declaration, declarations
from .errors import InvalidSchedule
from .models import Schedule
from .recurrence import Cron, Every, Recurrence, Solar, parse
from .sql import rows
from .states import Owner
from .times import FIELDS, ORIGIN, store

logger = logging.getLogger("jobs")

POLICY = (
    "overlap",
    "misfire",
    "misfire_cap",
    "spread",
    "window",
    "jitter",
    "max_runs",
    "pause_after_failures",
    "priority",
    "timeout",
    "max_retries",
    "expires_after",
    "unique_key",
    "tags",
)
"""Fields of the companion that a declaration may give."""


def synchronise(app: Celery) -> None:
    """Write what code declares, and disable what it declares no more, in one transaction.

    A declaration that can't be is said in the log, and the others are written; its row stays as it is.
    """
    tasks(app)
    with transaction.atomic(using=jobs_alias()):
        rows("synchronise")
        names = set()
        try:
            for declared in declarations(app):
                names.add(declared.name)
                _write(app, declared)
        except ImproperlyConfigured as error:
            logger.error("declared schedules are not synchronised: %s", error)
            return
        _withdraw(names)


def _write(app: Celery, declared: Declaration) -> None:
    try:
        with transaction.atomic(using=jobs_alias()):
            _keep(declared, recurrence_of(declared.when, zone_of(app, declared)), policy_of(declared))
    except (JobsError, ValidationError) as error:
        said = "; ".join(error.messages) if isinstance(error, ValidationError) else str(error)
        logger.error("declared schedule %r is not written: %s", declared.name, said)


def _keep(declared: Declaration, recurrence: Recurrence, policy: dict[str, Any]) -> None:
    alias = jobs_alias()
    task = PeriodicTask.objects.using(alias).filter(name=declared.name).first()
    known = Schedule.objects.using(alias).filter(pk=task.pk).first() if task else None
    if task is None or known is None:
        task = PeriodicTask(name=declared.name)
        logger.info("schedule %r is declared in code: made", declared.name)
    elif known.managed_by != Owner.CODE:
        logger.info("schedule %r is declared in code: that keeps it now", declared.name)
    owned = {"managed_by": Owner.CODE, "editable": declared.editable, "withdrawn": False}
    if known is None or not declared.editable:
        _change(task, _columns(declared, recurrence))
        owned |= policy
    elif known.withdrawn:
        _change(task, {"enabled": declared.enabled})
    Schedule.objects.using(alias).filter(pk=task.pk).update(**owned)


def _change(task: PeriodicTask, columns: Mapping[str, Any]) -> None:
    """Save what is otherwise; a save without a change would be one to beat's admin."""
    changed = {name: value for name, value in columns.items() if getattr(task, name) != value}
    if task.pk is None or changed:
        for name, value in changed.items():
            setattr(task, name, value)
        task.save(using=jobs_alias())


def _columns(declared: Declaration, recurrence: Recurrence) -> dict[str, Any]:
    return {
        "task": declared.task,
        **store(recurrence),
        "args": dumps(list(declared.args)),
        "kwargs": dumps(dict(declared.kwargs)),
        "headers": dumps(dict(declared.headers)),
        "queue": declared.queue,
        "enabled": declared.enabled,
        "description": declared.description,
        "start_time": declared.starts_at,
        "expires": declared.ends_at,
    }


def _withdraw(names: set[str]) -> None:
    gone = Schedule.objects.using(jobs_alias()).filter(managed_by=Owner.CODE, withdrawn=False)
    for known in gone.exclude(periodic_task__name__in=names).select_related("periodic_task"):
        logger.warning("schedule %r is declared in code no more: disabled", known.periodic_task.name)
        PeriodicTask.objects.using(jobs_alias()).filter(pk=known.pk).update(enabled=False)
        Schedule.objects.using(jobs_alias()).filter(pk=known.pk).update(withdrawn=True)


def policy_of(declared: Declaration) -> dict[str, Any]:
    """Every policy, the ones not given as they are by default. Raises InvalidSchedule, ValidationError, InvalidJob."""
    for name in declared.policy:
        if name not in POLICY:
            near = difflib.get_close_matches(name, POLICY, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(POLICY)}."
            raise InvalidSchedule(f"Unknown option {name!r} of a schedule.{hint}")
    given = dict(declared.policy)
    if given.get("priority") is not None:
        given["priority"] = priority_number(given["priority"])
    made = Schedule(**given)
    made.full_clean(exclude=[field.name for field in Schedule._meta.fields if field.name not in POLICY])
    return {name: getattr(made, name) for name in POLICY}


def zone_of(app: Celery, declared: Declaration) -> ZoneInfo:
    try:
        return ZoneInfo(declared.zone or str(app.timezone))
    except (KeyError, ValueError, OSError) as error:
        raise InvalidSchedule(
            f"Unknown timezone {declared.zone!r}. Expected a name such as 'Europe/Berlin'."
        ) from error


def recurrence_of(when: Any, zone: ZoneInfo) -> Recurrence:
    """Of a text, a number of seconds, a timedelta, or one of Celery's schedules. Raises InvalidSchedule."""
    match when:
        case str():
            return parse(when, zone=zone, now=datetime.now(UTC))
        case timedelta():
            return _every(when.total_seconds())
        case int() | float() if not isinstance(when, bool):
            return _every(when)
        case schedules.crontab():
            minute, hour, week_day, day, month = (_field(getattr(when, f"_orig_{name}")) for name in FIELDS)
            return Cron(minute, hour, week_day, day, month, zone)
        case schedules.solar():
            return Solar(when.event, float(when.lat), float(when.lon))
        case schedules.schedule():
            return _every(when.run_every.total_seconds())
    raise InvalidSchedule(
        f"Unknown schedule {when!r:.80}. Expected a text such as '0 8 * * mon' or '@every 5m', seconds, a timedelta, "
        "or Celery's crontab, schedule or solar."
    )


def _every(seconds: float) -> Every:
    if seconds != int(seconds):
        raise InvalidSchedule(f"Invalid interval of {seconds:g} s. Expected whole seconds, from 1 on.")
    return Every(int(seconds), ORIGIN)


def _field(given: Any) -> str:
    """A field of a crontab: text, a number, or several of them."""
    return given if isinstance(given, str) else ",".join(map(str, given)) if hasattr(given, "__iter__") else str(given)
