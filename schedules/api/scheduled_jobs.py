"""Scheduled jobs under `/api/admin`: schedules in few words, where a field that is not known is an argument."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django_celery_beat.models import PeriodicTask
from ninja import Query, Router, Status
from pydantic import BaseModel, ConfigDict, StrictBool

from jobs.api.problems import refuse_unknown
from jobs.api.schemas import Label, Priority, Problem, Word
from jobs.engine.link import jobs_alias

from .. import queries, writing
from ..conf import default_task
from ..errors import InvalidFields
from ..fields import Fields, fields_of
from ..recurrence.text import NICKNAMES
from . import problems
from .schedules import NOTHING, who

router = Router(tags=["scheduled jobs"])
REFUSED = dict.fromkeys((401, 422), Problem)
FOUND = {401: Problem, 404: Problem}
WRITTEN = dict.fromkeys((401, 403, 404, 422), Problem)
NAMES = {"when": "cron_expression"}
SHORT = {line: name for name, line in reversed(NICKNAMES.items())}
"""The nickname of a cron that has one."""
NO_TASK = "Give the name of a registered task, or set SCHEDULE_DEFAULT_TASK to the one that stands for it."


class Change(BaseModel):
    """Any other field becomes a keyword argument of the task."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    name: Word = ""
    description: Label = ""
    cron_expression: Label = ""
    """`@daily`, `@every 30m` or five fields."""
    enabled: StrictBool = True
    priority: Priority | None = None
    task: Word | None = None
    """Name of a registered task; without it, the one of the setting SCHEDULE_DEFAULT_TASK."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    timezone: Word | None = None
    queue: Word | None = None


class ScheduledJob(Change):
    name: Word
    cron_expression: Label


class Toggle(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)
    enabled: StrictBool | None = None
    """Left out: what it is not now."""


class Shown(BaseModel):
    """With each keyword argument as a field of its own, where that has no other meaning."""

    model_config = ConfigDict(extra="allow")
    id: int
    name: str
    description: str
    cron_expression: str
    enabled: bool
    priority: int | None
    task: str
    args: list[Any]
    kwargs: dict[str, Any]
    timezone: str | None
    queue: str | None
    last_run_at: Any
    next_run_at: Any
    updated_at: Any


@router.get("", response={200: list[Shown], **REFUSED})
def list_scheduled_jobs(
    request: HttpRequest,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    offset: Annotated[int, Query(ge=0, lt=2**31)] = 0,
) -> list[dict[str, Any]]:
    """Schedules in the order of their ids."""
    refuse_unknown(request, ["limit", "offset"])
    found = queries.schedules().order_by("pk")[offset : offset + limit]
    return [_shown(one) for one in queries.describe_all(list(found))]


@router.post("", response={201: Shown, **REFUSED})
def create_scheduled_job(request: HttpRequest, response: HttpResponse, job: ScheduledJob) -> Status:
    """Make a schedule of a task."""
    extra = job.model_extra or {}
    with _pointing(extra):
        task = job.task or default_task()
        if task is None:
            raise InvalidFields({"task": NO_TASK})
        given = _given(job, {"cron_expression", "task", "kwargs"})
        fields = Fields(**given, task=task, when=job.cron_expression, kwargs=_kwargs(job.kwargs, extra))
        id_ = writing.create(fields, **who(request))
    response["Location"] = reverse("jobs_api:get_scheduled_job", args=[id_])
    return Status(201, _find(id_))


@router.get("/{int:schedule_id}", response={200: Shown, **FOUND})
def get_scheduled_job(request: HttpRequest, schedule_id: int) -> dict[str, Any]:
    """One schedule."""
    return _find(schedule_id)


@router.put("/{int:schedule_id}", response={200: Shown, **WRITTEN})
def update_scheduled_job(request: HttpRequest, schedule_id: int, job: Change) -> dict[str, Any]:
    """Change the fields that are given; arguments that are not stay as they are."""
    extra = job.model_extra or {}
    with _pointing(extra), transaction.atomic(using=jobs_alias()):
        task = writing.hold(schedule_id)
        given = _given(job, {"cron_expression", "kwargs"})
        if "cron_expression" in job.model_fields_set:
            given["when"] = job.cron_expression
        if "kwargs" in job.model_fields_set or extra:
            given["kwargs"] = _new_kwargs(task, job, extra)
        if given.get("task", "") is None:
            raise InvalidFields({"task": NO_TASK})
        writing.change(schedule_id, given, **who(request))
    return {**_find(schedule_id), "ok": True, "job_id": schedule_id}


@router.delete("/{int:schedule_id}", response={200: dict[str, bool], **WRITTEN})
def delete_scheduled_job(request: HttpRequest, schedule_id: int) -> dict[str, bool]:
    """Delete a schedule with its history; its jobs stay."""
    writing.remove(schedule_id, **who(request))
    return {"ok": True}


@router.post("/{int:schedule_id}/toggle", response={200: Shown, **WRITTEN})
def toggle_scheduled_job(request: HttpRequest, schedule_id: int, toggle: Toggle = NOTHING) -> dict[str, Any]:
    """Enable or disable a schedule: as the body says, or else what it is not now."""
    with transaction.atomic(using=jobs_alias()):
        task = writing.hold(schedule_id)
        asked = toggle.enabled if toggle else None
        writing.switch(schedule_id, not task.enabled if asked is None else asked, **who(request))
    return {**_find(schedule_id), "ok": True}


def _given(job: Change, without: set[str]) -> dict[str, Any]:
    """The known fields that the body has, by the names of Fields."""
    found = job.model_dump(include=job.model_fields_set & set(Change.model_fields) - without)
    return {"zone" if name == "timezone" else name: value for name, value in found.items()}


def _new_kwargs(task: PeriodicTask, job: Change, extra: dict[str, Any]) -> dict[str, Any]:
    if "kwargs" in job.model_fields_set:
        return _kwargs(job.kwargs, extra)
    return {**fields_of(task).kwargs, **extra}


def _kwargs(kwargs: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    for name in extra:
        if name in kwargs:
            raise InvalidFields({name: f"{name[:80]!r} is given here and in kwargs. Give it once."})
    return {**kwargs, **extra}


@contextmanager
def _pointing(extra: dict[str, Any]) -> Iterator[None]:
    """What is wrong with an argument is said of the field that gave it."""
    try:
        yield
    except InvalidFields as error:
        names = dict(NAMES)
        for field in ("args", "kwargs"):
            named = re.search(r"argument(:?) '([^']*)'", error.errors.get(field, ""))
            # With a colon it is one that is missing.
            if named and (named[1] or named[2] in extra):
                names[field] = named[2]
        raise problems.renamed(error.errors, names) from error


def _find(id_: int) -> dict[str, Any]:
    return _shown(queries.describe(queries.find(id_)))


def _shown(schedule: dict[str, Any]) -> dict[str, Any]:
    when = schedule["when"]
    known = {name: schedule[name] for name in Shown.model_fields if name in schedule}
    free = {
        name: value for name, value in schedule["kwargs"].items() if name not in (*Shown.model_fields, "ok", "job_id")
    }
    return {**known, **free, "cron_expression": SHORT.get(when, when)}
