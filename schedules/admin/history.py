"""The history of a schedule: every due time and what became of it, the latest first."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from . import runs
from .backfill import BackfillAdmin

PAGE_SIZE = 100


class HistoryAdmin(BackfillAdmin):
    """Adds the page of all runs for those who may look at schedules."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.runs_view)
        name = f"{self.opts.app_label}_{self.opts.model_name}_runs"
        return [path("<int:id_>/runs/", view, name=name), *super().get_urls()]

    def runs_view(self, request: HttpRequest, id_: int) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        task = get_object_or_404(self.get_queryset(request), pk=id_)
        found = runs.latest([id_], most=PAGE_SIZE + 1, before=_before(request))[id_]
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": "Runs",
            "opts": self.opts,
            "task": task,
            "runs": [runs.row(run, linked=may_see_jobs(request)) for run in found[:PAGE_SIZE]],
            "older": found[PAGE_SIZE - 1].id if len(found) > PAGE_SIZE else None,
            "is_first": _before(request) is None,
        }
        return TemplateResponse(request, "admin/schedules/runs.html", context)


def may_see_jobs(request: HttpRequest) -> bool:
    return request.user.has_perm("jobs.view_job")


def _before(request: HttpRequest) -> int | None:
    """The id of the occurrence that the page begins after; nonsense is the first page."""
    text = request.GET.get("before", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
