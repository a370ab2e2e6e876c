"""The REST API, mounted at /api/: `path("api/", api.urls)`."""

from typing import Any, NoReturn

from django.http import Http404, HttpRequest
from ninja import NinjaAPI, Router
from ninja.errors import ValidationError, ValidationErrorContext

from . import health, jobs, problems
from .auth import bearer
from .parser import StrictJSON

ANY_METHOD = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class JobsAPI(NinjaAPI):
    """Other apps add routers of their own before its `urls` are asked for: those come first."""

    _has_own = False

    @property
    def urls(self) -> tuple[list[Any], str, str]:
        if not self._has_own:
            self._has_own = True
            for prefix, router in OWN:
                self.add_router(prefix, router)
        patterns, app, namespace = super().urls
        for pattern in patterns:
            pattern.callback = problems.only_problems(self, pattern.callback)
        return patterns, app, namespace

    def validation_error_from_error_contexts(self, error_contexts: list[ValidationErrorContext]) -> ValidationError:
        """Each error with the names of the fields that there are."""
        errors = []
        for context in error_contexts:
            fields = context.model.model_fields.values()
            known = [name for field in fields for name in getattr(field.annotation, "model_fields", ())]
            found = super().validation_error_from_error_contexts([context]).errors
            errors += [{**error, "known": known} for error in found]
        return ValidationError(errors)


api = JobsAPI(
    title="Jobs",
    version="1",
    description="Submit jobs and follow them. Errors are application/problem+json.",
    urls_namespace="jobs_api",
    auth=bearer,
    parser=StrictJSON(),
)
problems.register(api)
nowhere = Router()


@nowhere.api_operation(ANY_METHOD, "/{path:rest}", auth=None, include_in_schema=False)
def nothing_here(request: HttpRequest, rest: str) -> NoReturn:
    raise Http404


# A job's id may be any text, and the last one takes what no other route has taken.
OWN = (("/jobs", jobs.router), ("/health", health.router), ("", nowhere))
