"""Whether the fields that somebody gives make a schedule: all that is wrong with them, by field."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from celery import Celery, current_app
from django.core.exceptions import ValidationError
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from jobs.engine import newjob
from jobs.engine.link import jobs_alias
from jobs.engine.newjob import priority_number
from jobs.engine.payload import encode, is_storable
from jobs.errors import JobsError, UnknownTask

from .calls import Call
from .code import POLICY, policy_of, zone_of
from .declared import Declaration
from .errors import InvalidFields, InvalidSchedule
from .fields import Fields
from .policy import Rules, first_due
from .recurrence import Cron, Every, Once, Recurrence
from .standing import Standing
from .texts import read
from .times import FIELDS

TEXTS = ("name", "task", "queue", "description", "unique_key")
MOST_SECONDS = 2**31 - 1
"""Of an interval that is no whole number of minutes: django-celery-beat's column holds no more."""


class Checked(NamedTuple):
    recurrence: Recurrence
    columns: dict[str, Any]
    """Of the periodic task, without the rows that say when: `times.store` finds or makes those."""
    policy: dict[str, Any]
    """Of the companion."""


def check(fields: Fields, *, now: datetime, id_: int | None = None, retimed: bool = True) -> Checked:
    """What a schedule of these fields is; nothing is written. Raises InvalidFields.

    `id_`: of the schedule that they are to change. `retimed=False`: it is not asked whether anything is still due.
    """
    found = Found()
    declared = _declaration(fields, found)
    policy: dict[str, Any] = dict.fromkeys(POLICY)
    with found.by("", renamed={"__all__": ""}):
        policy = policy_of(declared)
    columns = _columns(fields, found)
    _check_texts(fields, found)
    _check_name(fields, found, id_)
    recurrence = _recurrence(fields, declared, found, now)
    _check_moments(fields, found)
    if recurrence is not None and retimed and not found.errors:
        _check_ahead(fields, recurrence, found, now)
    if not found.errors:
        _check_call(columns, policy, found, now)
    if found.errors or recurrence is None:
        raise InvalidFields(found.errors)
    return Checked(recurrence, columns, policy)


class Found:
    """What is wrong so far: of a field the first thing that was found."""

    def __init__(self) -> None:
        self.errors: dict[str, str] = {}

    def add(self, field: str, message: str) -> None:
        self.errors.setdefault(field, message)

    @contextmanager
    def by(self, field: str, *, renamed: Mapping[str, str] | None = None) -> Iterator[None]:
        """What the block raises is of that field, unless it says of which."""
        try:
            yield
        except ValidationError as error:
            for name, texts in (
                error.message_dict if hasattr(error, "error_dict") else {field: error.messages}
            ).items():
                self.add((renamed or {}).get(name, name), " ".join(texts))
        except JobsError as error:
            self.add(field, str(error))


def _declaration(fields: Fields, found: Found) -> Declaration:
    policy = {name: getattr(fields, name) for name in POLICY}
    if policy["priority"] is not None:
        with found.by("priority"):
            priority_number(policy["priority"])
        if found.errors:
            policy["priority"] = None
    return Declaration(name=fields.name, task=fields.task, when=fields.when, zone=fields.zone, policy=policy)


RENAMED = {"start_time": "starts_at", "expires": "ends_at"}


def _columns(fields: Fields, found: Found) -> dict[str, Any]:
    columns = {
        "name": fields.name,
        "task": fields.task,
        "queue": fields.queue or None,
        "enabled": fields.enabled,
        "description": fields.description,
        "start_time": fields.starts_at,
        "expires": fields.ends_at,
        # They are the companion's here.
        "priority": None,
        "expire_seconds": None,
    }
    for name, value in (
        ("args", list(fields.args)),
        ("kwargs", dict(fields.kwargs)),
        ("headers", dict(fields.headers)),
    ):
        columns[name] = "{}"
        with found.by(name):
            columns[name] = encode(name, value)
    with found.by("", renamed=RENAMED):
        PeriodicTask(**columns).clean_fields(exclude=["interval", "crontab", "solar", "clocked"])
    return columns


def _check_texts(fields: Fields, found: Found) -> None:
    for name in TEXTS:
        text = getattr(fields, name)
        if text is not None and not is_storable(text):
            found.add(name, "A NUL character or half a surrogate pair can't be stored; remove it.")
    for text in (part for pair in (fields.tags or {}).items() for part in pair):
        if isinstance(text, str) and not is_storable(text):
            found.add("tags", "A NUL character or half a surrogate pair can't be stored; remove it.")


def _check_name(fields: Fields, found: Found, id_: int | None) -> None:
    # PostgreSQL would refuse the question.
    if not is_storable(fields.name):
        return
    namesake = PeriodicTask.objects.using(jobs_alias()).filter(name=fields.name).exclude(pk=id_).first()
    if namesake is not None:
        found.add("name", name_taken(fields.name, namesake.pk))


def name_taken(name: str, id_: object = None) -> str:
    has = f"Schedule {id_}" if id_ else "Another schedule"
    return f"{has} has the name {name!r} already. Choose another, or change that one."


def _recurrence(fields: Fields, declared: Declaration, found: Found, now: datetime) -> Recurrence | None:
    try:
        zone = zone_of(_app(), declared)
    except InvalidSchedule as error:
        found.add("zone", str(error))
        return None
    with found.by("when"):
        recurrence = read(fields.when, zone=zone, now=now)
        _check_room(fields.when, recurrence)
        return recurrence
    return None


def _check_room(text: str, recurrence: Recurrence) -> None:
    """Raises InvalidSchedule for what django-celery-beat's rows can't hold."""
    match recurrence:
        case Every() if recurrence.seconds > MOST_SECONDS and recurrence.seconds % 60:
            raise InvalidSchedule(f"{text[:80]!r} is too long to be counted in seconds. Give whole minutes.")
        case Cron():
            for name in FIELDS:
                field, most = getattr(recurrence, name), CrontabSchedule._meta.get_field(name).max_length
                if len(field) > most:
                    raise InvalidSchedule(
                        f"The {name} {field[:80]!r} has {len(field)} characters; expected up to {most}."
                    )


def _check_moments(fields: Fields, found: Found) -> None:
    for name in ("starts_at", "ends_at"):
        moment = getattr(fields, name)
        if moment is not None and timezone.is_naive(moment):
            found.add(name, f"{moment.isoformat()} has no time zone. Give it one, as {moment.isoformat()}Z.")
    aware = not {"starts_at", "ends_at"} & found.errors.keys()
    if aware and fields.starts_at and fields.ends_at and fields.ends_at <= fields.starts_at:
        found.add("ends_at", "It would end before it starts.")


def _check_ahead(fields: Fields, recurrence: Recurrence, found: Found, now: datetime) -> None:
    """Refuse what would never be due."""
    if not fields.enabled or first_due(recurrence, Rules(starts_at=fields.starts_at, ends_at=fields.ends_at), now):
        return
    if isinstance(recurrence, Once) and recurrence.at <= now:
        found.add("when", f"{fields.when[:80]!r} has passed. Give a moment to come; a trigger runs a schedule at once.")
    else:
        field = "ends_at" if fields.ends_at else "when"
        found.add(field, "Nothing would ever be due." if field == "when" else "Nothing would be due before it.")


def _check_call(columns: Mapping[str, Any], policy: Mapping[str, Any], found: Found, now: datetime) -> None:
    """The beat's own check of the call that it will make."""
    said = {name: columns[name] for name in ("name", "task", "args", "kwargs", "headers", "queue")}
    tags = {"tags": json.dumps(policy["tags"]) if policy["tags"] else None}
    standing: dict[str, Any] = {**dict.fromkeys(Standing._fields), **said, **policy, **tags, "id": 0}
    try:
        call = Call(_app(), Standing(**standing), None, now)
        if call.job is not None:
            newjob.check(call.job)
    except JobsError as error:
        found.add(_field_of(error), str(error))


def _field_of(error: JobsError) -> str:
    if isinstance(error, UnknownTask):
        return "task"
    named = re.match(r"The (?:(?:job|schedule)'s )?(\w+)", str(error))
    field = getattr(error, "field", None) or (named[1] if named else "")
    return field if field in Fields.__dataclass_fields__ else ""


def _app() -> Celery:
    return current_app._get_current_object()
