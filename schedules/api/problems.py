"""The errors of schedules as problems, each with a pointer to the field."""

from collections.abc import Callable, Mapping

from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI

from jobs.api.problems import respond
from jobs.errors import InvalidPause

from ..errors import InvalidFields, InvalidSchedule, OwnedByCode, ScheduleNotFound

POINTERS = {"zone": "timezone"}
"""Fields that have another name in the API."""


def register(api: NinjaAPI) -> None:
    for error, handler in HANDLERS.items():
        api.add_exception_handler(error, handler)


def renamed(errors: Mapping[str, str], names: Mapping[str, str]) -> InvalidFields:
    """The same errors, of fields by other names."""
    return InvalidFields({names.get(field, field): text for field, text in errors.items()})


def _invalid_fields(request: HttpRequest, error: InvalidFields) -> HttpResponse:
    found = [(POINTERS.get(field, field), text) for field, text in error.errors.items()]
    errors = [(f"/{field}" if field else "", text) for field, text in found]
    more = f" ({len(errors) - 1} more in `errors`)" if len(errors) > 1 else ""
    return respond(422, "invalid_schedule", f"{errors[0][0]}: {errors[0][1]}{more}".removeprefix(": "), errors=errors)


def _invalid_schedule(request: HttpRequest, error: InvalidSchedule) -> HttpResponse:
    return respond(422, "invalid_schedule", str(error), errors=[("", str(error))])


def _invalid_pause(request: HttpRequest, error: InvalidPause) -> HttpResponse:
    return respond(422, "invalid_pause", str(error), errors=[("", str(error))])


def _not_found(request: HttpRequest, error: ScheduleNotFound) -> HttpResponse:
    return respond(404, "schedule_not_found", str(error))


def _owned_by_code(request: HttpRequest, error: OwnedByCode) -> HttpResponse:
    return respond(403, "owned_by_code", str(error), errors=[("", str(error))])


HANDLERS: dict[type[Exception], Callable[..., HttpResponse]] = {
    InvalidFields: _invalid_fields,
    InvalidSchedule: _invalid_schedule,
    InvalidPause: _invalid_pause,
    ScheduleNotFound: _not_found,
    OwnedByCode: _owned_by_code,
}
