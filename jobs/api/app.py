"""The REST API, mounted at /api/: `path("api/", api.urls)`."""

from typing import Any, NoReturn

from django.http import Http404, HttpRequest
from ninja import NinjaAPI, Router

from . import health, jobs, problems
from .auth import bearer
from .parser import StrictJSON

ANY_METHOD = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class JobsAPI(NinjaAPI):
    @property
    def urls(self) -> tuple[list[Any], str, str]:
        patterns, app, namespace = super().urls
        for pattern in patterns:
            pattern.callback = problems.only_problems(self, pattern.callback)
        return patterns, app, namespace


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


api.add_router("/jobs", jobs.router)
api.add_router("/health", health.router)
# Last: it takes what no route above has taken.
api.add_router("", nowhere)
