"""Schedules over the API: list, write, run, pause, preview and look back."""

from datetime import UTC
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from ninja import Body, Query, Router, Status

from jobs.api.problems import Refused, refuse_unknown
from jobs.api.schemas import Problem
from jobs.queries import find_job, status_of

from .. import forecast, queries, verbs, writing
from ..errors import InvalidFields, ScheduleNotFound
from ..fields import Fields
from . import schemas

router = Router(tags=["schedules"])
REFUSED = dict.fromkeys((401, 422), Problem)
FOUND = {401: Problem, 404: Problem}
WRITTEN = dict.fromkeys((401, 403, 404, 422), Problem)
NOTHING = Body(None)


@router.get("", response={200: schemas.Schedules, **REFUSED})
def list_schedules(request: HttpRequest, filters: Query[schemas.Filters]) -> dict[str, Any]:
    """Schedules in the order of their ids."""
    refuse_unknown(request, schemas.Filters.model_fields)
    found = queries.chosen(q=filters.q, task=filters.task, enabled=filters.enabled)
    page = queries.page(found, after=filters.cursor, limit=filters.limit)
    return {"schedules": page.rows, "total": found.count(), "next_cursor": page.next_cursor}


@router.post("", response={201: schemas.Schedule, **REFUSED})
def create_schedule(request: HttpRequest, response: HttpResponse, schedule: schemas.NewSchedule) -> Status:
    """Make a schedule; it is committed when this answers, and due from now on."""
    id_ = writing.create(Fields(**_fields(schedule.model_dump())), **who(request))
    response["Location"] = reverse("jobs_api:get_schedule", args=[id_])
    return Status(201, queries.describe(queries.find(id_)))


@router.post("/preview", response={200: schemas.Forecast, **REFUSED})
def preview_text(request: HttpRequest, asked: schemas.Preview) -> dict[str, Any]:
    """What a text would mean: in words, with its next runs and where they meet a change of the clock."""
    try:
        zone = forecast.zone_named(asked.timezone).key
    except ValueError as error:
        raise InvalidFields({"zone": str(error)}) from error
    try:
        found = forecast.of_text(
            asked.when, zone=zone, count=asked.count, starts_at=asked.starts_at, ends_at=asked.ends_at
        )
    except ValueError as error:
        raise InvalidFields({"when": str(error)}) from error
    return _forecast(found)


@router.get("/{int:schedule_id}", response={200: schemas.Schedule, **FOUND})
def get_schedule(request: HttpRequest, schedule_id: int) -> dict[str, Any]:
    """Everything about one schedule."""
    return queries.describe(queries.find(schedule_id))


@router.put("/{int:schedule_id}", response={200: schemas.Schedule, **WRITTEN})
def replace_schedule(request: HttpRequest, schedule_id: int, schedule: schemas.NewSchedule) -> dict[str, Any]:
    """Give a schedule all its fields; one that is left out is as it is by default."""
    writing.change(schedule_id, _fields(schedule.model_dump()), **who(request))
    return queries.describe(queries.find(schedule_id))


@router.patch("/{int:schedule_id}", response={200: schemas.Schedule, **WRITTEN})
def change_schedule(request: HttpRequest, schedule_id: int, schedule: schemas.ScheduleChange) -> dict[str, Any]:
    """Change the fields that are given."""
    writing.change(schedule_id, _fields(schedule.model_dump(exclude_unset=True)), **who(request))
    return queries.describe(queries.find(schedule_id))


@router.delete("/{int:schedule_id}", response={204: None, **WRITTEN})
def delete_schedule(request: HttpRequest, schedule_id: int) -> Status:
    """Delete a schedule with its history; its jobs stay."""
    writing.remove(schedule_id, **who(request))
    return Status(204, None)


@router.post("/{int:schedule_id}/trigger", response={201: schemas.Triggered, 409: Problem, **FOUND})
def trigger_schedule(request: HttpRequest, schedule_id: int, asked: schemas.Asked = NOTHING) -> Status:
    """Run a schedule once, now, also one that is paused or disabled."""
    for ran in verbs.run_now([schedule_id], reason=asked.reason if asked else "", **who(request)):
        if ran.refused:
            raise Refused(409, "not_run", ran.refused)
        status = status_of(find_job(ran.job_id)) if ran.job_id else "pending"
        return Status(201, {"job_id": ran.job_id, "status": status, "schedule_id": schedule_id})
    raise ScheduleNotFound(schedule_id)


@router.post("/{int:schedule_id}/pause", response={200: schemas.Schedule, 422: Problem, **FOUND})
def pause_schedule(request: HttpRequest, schedule_id: int, asked: schemas.Pause = NOTHING) -> dict[str, Any]:
    """Let a schedule fire no more, until it is resumed or until a moment; a pause that is there gets these words."""
    pause = asked or schemas.Pause()
    if not verbs.pause([schedule_id], reason=pause.reason, until=pause.until, **who(request)):
        raise ScheduleNotFound(schedule_id)
    return queries.describe(queries.find(schedule_id))


@router.post("/{int:schedule_id}/resume", response={200: schemas.Schedule, 409: Problem, **FOUND})
def resume_schedule(request: HttpRequest, schedule_id: int, asked: schemas.Asked = NOTHING) -> dict[str, Any]:
    """Let it fire again; what was due meanwhile is treated as its misfire policy says."""
    if not verbs.resume([schedule_id], reason=asked.reason if asked else "", **who(request)):
        task = queries.find(schedule_id)
        raise Refused(409, "not_paused", f"Schedule {task.pk} ({task.name}) is not paused.")
    return queries.describe(queries.find(schedule_id))


@router.post("/{int:schedule_id}/backfill", response={200: schemas.Backfilled, 422: Problem, **FOUND})
def backfill_schedule(request: HttpRequest, schedule_id: int, asked: schemas.Backfill) -> dict[str, Any]:
    """Run due times of a range in the past that have no run yet."""
    queries.find(schedule_id)
    done = verbs.backfill(schedule_id, **asked.model_dump(), **who(request))
    said = {"due": done.due, "existing": done.existing, "job_ids": done.made, "more": done.more}
    return {"dry_run": asked.dry_run, **said}


@router.get("/{int:schedule_id}/preview", response={200: schemas.Forecast, **FOUND})
def preview_schedule(request: HttpRequest, schedule_id: int, count: int = Query(10, ge=1, le=1000)) -> dict[str, Any]:
    """The next runs of a schedule."""
    refuse_unknown(request, ["count"])
    return _forecast(forecast.of_task(queries.find(schedule_id), count=count))


@router.get("/{int:schedule_id}/occurrences", response={200: schemas.Occurrences, 422: Problem, **FOUND})
def list_occurrences(request: HttpRequest, schedule_id: int, filters: Query[schemas.HistoryFilters]) -> dict[str, Any]:
    """What became of its due times, the latest first."""
    refuse_unknown(request, schemas.HistoryFilters.model_fields)
    queries.find(schedule_id)
    page = queries.history(schedule_id, state=filters.state, before=filters.cursor, limit=filters.limit)
    return {"occurrences": page.rows, "next_cursor": page.next_cursor}


def who(request: HttpRequest) -> dict[str, Any]:
    """Who asks, as every verb takes it."""
    return {"actor": request.auth, "ip": request.META.get("REMOTE_ADDR")}


def _fields(given: dict[str, Any]) -> dict[str, Any]:
    return {"zone" if name == "timezone" else name: value for name, value in given.items()}


def _forecast(found: forecast.Forecast) -> dict[str, Any]:
    runs = [{"at": due.at.astimezone(UTC), "local": due.at.isoformat(), "dst": due.dst} for due in found.dues]
    return {"words": found.words, "timezone": found.zone.key, "runs": runs}
