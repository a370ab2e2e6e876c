"""Every error of the API as `application/problem+json` (RFC 9457), never a traceback."""

import difflib
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

from ..errors import (
    DuplicateJob,
    InvalidJob,
    InvalidSearch,
    JobNotFound,
    QueueFull,
    SearchTooSlow,
    UniqueBusy,
    UnknownTask,
)
from ..search.near import nearest
from ..submit import BadArguments
from .auth import challenge
from .schemas import NOT_YET

logger = logging.getLogger("jobs")


class Refused(Exception):
    """An answer that is no success: HTTP status, a code for programs, a detail for people, as `respond` takes them."""

    def __init__(self, status: int, code: str, detail: str, *, errors: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.errors = status, code, detail, errors


def respond(
    status: int,
    code: str,
    detail: str,
    *,
    errors: Iterable[tuple[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> HttpResponse:
    """One problem; `errors` are (JSON pointer, detail) pairs of bad input."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if found := [{"pointer": pointer, "detail": text} for pointer, text in errors]:
        body["errors"] = found
    return HttpResponse(json.dumps(body), status=status, content_type="application/problem+json", headers=headers)


def register(api: NinjaAPI) -> None:
    for error, handler in HANDLERS.items():
        api.add_exception_handler(error, handler)


def unknown_field(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}."
    return f"Unknown field {name[:80]!r}, or the same field by two names. {hint}"


def refuse_unknown(request: HttpRequest, known: Iterable[str]) -> None:
    """The framework passes over query parameters that it does not know. Raises Refused."""
    names = list(known)
    if unknown := [name for name in request.GET if name not in names]:
        errors = [(f"/{name[:40]}", f"There is no filter {name[:40]!r}. {nearest(name, names)}") for name in unknown]
        raise Refused(422, "invalid_filter", errors[0][1], errors=errors)


def only_problems(api: NinjaAPI, view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """The view, with a problem for what the framework answers or raises outside its own operations."""

    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            response = view(request, *args, **kwargs)
        except Exception as error:
            return api.on_exception(request, error)
        if response.status_code != HTTPStatus.METHOD_NOT_ALLOWED:
            return response
        allowed = response["Allow"]
        detail = f"{request.method} is not possible here; allowed: {allowed}."
        return respond(405, "method_not_allowed", detail, headers={"Allow": allowed})

    answer.csrf_exempt = True  # type: ignore[attr-defined]
    return answer


def _refused(request: HttpRequest, error: Refused) -> HttpResponse:
    return respond(error.status, error.code, error.detail, errors=error.errors)


def _unauthorized(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    detail, header = challenge(request)
    return respond(401, "unauthorized", detail, headers={"WWW-Authenticate": header})


def _http(request: HttpRequest, error: HttpError) -> HttpResponse:
    # The framework wraps what the body parser raises.
    if isinstance(error.__cause__, Refused):
        return _refused(request, error.__cause__)
    return respond(error.status_code, "bad_request", str(error))


def _not_found(request: HttpRequest, error: Exception) -> HttpResponse:
    return respond(404, "not_found", f"Nothing is at {request.path}. What there is: /api/docs.")


def _job_not_found(request: HttpRequest, error: JobNotFound) -> HttpResponse:
    return respond(404, "job_not_found", str(error))


def _invalid_job(request: HttpRequest, error: InvalidJob) -> HttpResponse:
    return respond(422, "invalid_job", str(error), errors=[("", str(error))])


def _unknown_task(request: HttpRequest, error: UnknownTask) -> HttpResponse:
    return respond(422, "unknown_task", str(error), errors=[("/task", str(error))])


def _queue_full(request: HttpRequest, error: QueueFull) -> HttpResponse:
    return respond(429, "queue_full", str(error), headers={"Retry-After": "10"})


def _duplicate(request: HttpRequest, error: DuplicateJob) -> HttpResponse:
    return respond(409, "duplicate_job", str(error))


def _unique_busy(request: HttpRequest, error: UniqueBusy) -> HttpResponse:
    return respond(409, "unique_key_busy", str(error), headers={"Retry-After": "1"})


def _bad_arguments(request: HttpRequest, error: BadArguments) -> HttpResponse:
    return respond(422, "bad_arguments", str(error), errors=[(f"/{error.field}", str(error))])


def _invalid_search(request: HttpRequest, error: InvalidSearch) -> HttpResponse:
    return respond(422, "invalid_filter", str(error), errors=[(f"/{error.field}", str(error))])


def _too_slow(request: HttpRequest, error: SearchTooSlow) -> HttpResponse:
    return respond(503, "search_too_slow", str(error))


def _invalid_body(request: HttpRequest, error: ValidationError) -> HttpResponse:
    errors = [_bad_field(found) for found in error.errors]
    pointer, detail = errors[0]
    if error.errors[0]["loc"][0] == "query":
        return respond(422, "invalid_filter", f"{pointer}: {detail}", errors=errors)
    more = f" ({len(errors) - 1} more in `errors`)" if len(errors) > 1 else ""
    return respond(422, "invalid_body", f"{pointer or 'The request body'}: {detail}{more}", errors=errors)


def _bad_field(found: dict[str, Any]) -> tuple[str, str]:
    """Pointer and detail of one pydantic error; its location begins with "query", or "body" and a parameter's name."""
    path = [str(part) for part in found["loc"][1 if found["loc"][0] == "query" else 2 :]]
    pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)
    if found["type"] == "extra_forbidden" and len(path) == 1:
        return pointer, NOT_YET.get(path[0]) or unknown_field(path[0], found["known"])
    if not path and found["type"] in ("missing", "model_type", "model_attributes_type", "dict_type"):
        return pointer, "Expected a JSON object."
    return pointer, found["msg"].removeprefix("Value error, ")


def _too_big(request: HttpRequest, error: Exception) -> HttpResponse:
    return respond(413, "body_too_large", "The request body is too large; the limit is 1 MiB.")


def _broken_off(request: HttpRequest, error: Exception) -> HttpResponse:
    return respond(400, "body_incomplete", "The request body ended too early.")


def _database_away(request: HttpRequest, error: Exception) -> HttpResponse:
    logger.warning("api: the database does not answer: %s", " ".join(str(error).split()))
    detail = "The database does not answer; nothing was written. Try again later."
    return respond(503, "database_unavailable", detail, headers={"Retry-After": "5"})


def _unexpected(request: HttpRequest, error: Exception) -> HttpResponse:
    logger.error("api: request failed", exc_info=error, extra={"path": request.path, "method": request.method})
    return respond(500, "internal_error", "The server failed; its log says why.")


HANDLERS: dict[type[Exception], Callable[..., HttpResponse]] = {
    Refused: _refused,
    AuthenticationError: _unauthorized,
    HttpError: _http,
    Http404: _not_found,
    JobNotFound: _job_not_found,
    InvalidJob: _invalid_job,
    UnknownTask: _unknown_task,
    BadArguments: _bad_arguments,
    InvalidSearch: _invalid_search,
    SearchTooSlow: _too_slow,
    QueueFull: _queue_full,
    DuplicateJob: _duplicate,
    UniqueBusy: _unique_busy,
    ValidationError: _invalid_body,
    RequestDataTooBig: _too_big,
    UnreadablePostError: _broken_off,
    OperationalError: _database_away,
    InterfaceError: _database_away,
    Exception: _unexpected,
}
