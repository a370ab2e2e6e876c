"""Schedules are made, changed and deleted: each with its audit entry, in one transaction.

All take who asks; InvalidActor for nobody. What was refused has changed nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django_celery_beat.models import PeriodicTask
from kombu.utils.json import dumps

from jobs.engine.control import audit, clock
from jobs.engine.finish import clean
from jobs.engine.link import jobs_alias
from jobs.engine.operators import who

from . import verbs
from .checked import Checked, check, name_taken
from .errors import InvalidFields, OwnedByCode, ScheduleNotFound
from .fields import NAMES, Fields, fields_of
from .models import Schedule
from .sql import rows
from .states import Owner
from .times import store

AUDITED = 10_000
"""Characters of one value that an audit entry keeps."""
TIMED = frozenset({"when", "zone", "starts_at", "ends_at", "enabled"})


def create(fields: Fields, *, actor: str, reason: str = "", ip: str | None = None) -> int:
    """Make a schedule; returns its id. Raises InvalidFields."""
    actor = who(actor)["actor"]
    checked = check(fields, now=clock())
    with _naming(fields.name), transaction.atomic(using=jobs_alias()):
        task = PeriodicTask(**checked.columns, **store(checked.recurrence))
        task.save(using=jobs_alias())
        Schedule.objects.using(jobs_alias()).filter(pk=task.pk).update(**checked.policy)
        _audit("create", task, _given(fields), actor=actor, reason=reason, ip=ip)
    return task.pk


def change(
    id_: int, given: Mapping[str, Any], *, actor: str, reason: str = "", ip: str | None = None
) -> dict[str, tuple[Any, Any]]:
    """Change these fields of a schedule; returns what each was and is, of those that are otherwise now.

    The rest stays as it is. Raises ScheduleNotFound, OwnedByCode, InvalidFields.
    """
    actor = who(actor)["actor"]
    with _naming(given.get("name")), transaction.atomic(using=jobs_alias()):
        task = hold(id_)
        before = fields_of(task)
        refuse_owned(task)
        after = replace(before, **given)
        checked = check(after, now=clock(), id_=id_, retimed=bool(TIMED & given.keys()))
        _keep(task, checked, given.keys())
        changed = _differences(before, fields_of(_find(id_)))
        if changed:
            detail = {name: {"from": _kept(old), "to": _kept(new)} for name, (old, new) in changed.items()}
            _audit("change", task, {"changes": detail}, actor=actor, reason=reason, ip=ip)
    return changed


def switch(id_: int, enabled: bool, *, actor: str, reason: str = "", ip: str | None = None) -> bool:
    """Enable or disable a schedule; returns whether it was otherwise. Raises ScheduleNotFound, OwnedByCode."""
    with transaction.atomic(using=jobs_alias()):
        refuse_owned(hold(id_))
        return bool(verbs.set_enabled([id_], enabled, actor=actor, reason=reason, ip=ip))


def remove(id_: int, *, actor: str, reason: str = "", ip: str | None = None) -> None:
    """Delete a schedule with its history. Raises ScheduleNotFound, OwnedByCode while code declares it."""
    with transaction.atomic(using=jobs_alias()):
        task = hold(id_)
        if task.companion.managed_by == Owner.CODE and not task.companion.withdrawn:
            raise OwnedByCode(task.name, "It would come back: take its declaration out of the code, or pause it.")
        verbs.delete([id_], actor=actor, reason=reason, ip=ip)


def hold(id_: int) -> PeriodicTask:
    """The schedule with its companion, locked until the transaction ends. Raises ScheduleNotFound."""
    rows("hold", ids=[id_])
    return _find(id_)


def refuse_owned(task: PeriodicTask) -> None:
    """Raises OwnedByCode for what code declares, unless it says that people may edit it."""
    own = task.companion
    if own.managed_by == Owner.CODE and not own.editable and not own.withdrawn:
        raise OwnedByCode(task.name, "Change its declaration, or let that say editable=True. Pausing is possible here.")


def _find(id_: int) -> PeriodicTask:
    found = PeriodicTask.objects.using(jobs_alias()).select_related(
        "companion", "interval", "crontab", "solar", "clocked"
    )
    task = found.filter(pk=id_, companion__isnull=False).first()
    if task is None:
        raise ScheduleNotFound(id_)
    return task


COLUMNS = {"starts_at": "start_time", "ends_at": "expires"}
MOVED = {"priority": "priority", "expires_after": "expire_seconds"}
"""Fields that django-celery-beat has columns for, which are emptied when the companion's are written."""


def _keep(task: PeriodicTask, checked: Checked, given: Iterable[str]) -> None:
    """Write what was given, and no more: other columns may say the same in other words."""
    columns: dict[str, Any] = store(checked.recurrence) if {"when", "zone"} & set(given) else {}
    for name in given:
        column = MOVED.get(name) or COLUMNS.get(name, name)
        if column in checked.columns:
            columns[column] = checked.columns[column]
    changed = {name: value for name, value in columns.items() if getattr(task, name) != value}
    if changed:
        for name, value in changed.items():
            setattr(task, name, value)
        # Not the others: saved as a whole, a disabled one would lose its last run.
        task.save(using=jobs_alias(), update_fields=[*changed, "date_changed"])
    policy = {name: checked.policy[name] for name in given if name in checked.policy}
    if policy:
        Schedule.objects.using(jobs_alias()).filter(pk=task.pk).update(**policy)


def _differences(before: Fields, after: Fields) -> dict[str, tuple[Any, Any]]:
    pairs = {name: (getattr(before, name), getattr(after, name)) for name in NAMES}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _given(fields: Fields) -> dict[str, Any]:
    """What is not as it is by default."""
    plain = Fields(name=fields.name, task="", when="")
    return {name: _kept(value) for name, value in asdict(fields).items() if value != getattr(plain, name)}


def _kept(value: Any) -> Any:
    """A value as an audit entry keeps it."""
    if isinstance(value, datetime):
        return value.isoformat()
    text = dumps(value)
    return value if len(text) <= AUDITED else clean(text, AUDITED)


def _audit(action: str, task: PeriodicTask, detail: Mapping[str, Any], **entry: Any) -> None:
    audit(action, (verbs.RESOURCE, str(task.pk)), detail={"name": task.name, **detail}, **entry)


@contextmanager
def _naming(name: str | None) -> Iterator[None]:
    """Of two at once that take a name, the later one is refused: by beat's own look before it saves, or after that."""
    try:
        yield
    except (IntegrityError, ValidationError) as error:
        if name is None or "name" not in str(error):
            raise
        raise InvalidFields({"name": name_taken(name)}) from error
