"""Jobs, to look at: a list that stays quick over millions of rows, and a page with everything of one job."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from ..engine.newjob import job_key
from ..explain import explain
from ..models import Attempt, Job
from ..states import FINAL
from .big_tables import BigTableAdmin, BigTableList
from .buttons import ButtonsAdmin
from .filters import QueueFilter, StateFilter, TaskFilter
from .job_columns import JobColumns, attempt_row, flower_url
from .notices import notices

WIDE = ("args", "kwargs", "options", "result", "progress", "tags")
"""Columns that no list shows; each may hold a megabyte."""
ATTEMPTS_SHOWN = 100


SUMMARY = (
    "state_badge",
    "task",
    "name",
    "queue",
    "priority",
    "starts",
    "worker",
    "progress_json",
    "error_text",
)
MORE = (
    "id",
    "celery_id",
    "options_json",
    "tags_json",
    "reference_type",
    "reference_id",
    "unique_key",
    "created_by",
    "retries",
    "strikes",
    "lease",
    "epoch",
    "rank",
)


class JobList(BigTableList):
    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Job]:
        return super().get_queryset(request, exclude_parameters).defer(*WIDE)

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Job]) -> list[Any]:
        """Jobs that are over come by their end: that order has an index."""
        if request.GET.get("state") in FINAL:
            return ["-finished_at", "-pk"]
        return super().get_ordering(request, queryset)

    def url_for_result(self, result: Job) -> str:
        return reverse("admin:jobs_job_change", args=[result.pk])


@admin.register(Job)
class JobAdmin(JobColumns, ButtonsAdmin, BigTableAdmin):
    list_display: tuple[str, ...] = (
        "label",
        "state_badge",
        "queue",
        "priority",
        "starts",
        "when",
        "took",
        "worker",
    )
    list_filter: tuple[type, ...] = (StateFilter, QueueFilter, TaskFilter)
    search_fields = ("id",)
    search_help_text = "The whole id of a job, its Celery task id, or the whole name of a task."
    ordering = ("-created_at",)
    change_form_template = "admin/jobs/job/change_form.html"
    change_list_template = "admin/jobs/job/change_list.html"
    fieldsets = (
        (None, {"fields": SUMMARY}),
        ("Arguments and result", {"fields": ("args_json", "kwargs_json", "result_json")}),
        ("Times", {"fields": ("created", "ready", "next_start", "expires", "started", "finished", "took")}),
        ("More", {"classes": ("collapse",), "fields": MORE}),
    )

    class Media:
        css = {"all": ("jobs/admin.css",)}

    def has_view_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        return request.user.has_perm("jobs.view_job")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return JobList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Job], term: str
    ) -> tuple[QuerySet[Job], bool]:
        """One job by its key or text id, else all of one task: both exact, so that no search reads every row."""
        if not (term := term.strip()):
            return queryset, False
        one = queryset.filter(pk=job_key(term))
        return (one if one.exists() else queryset.filter(task=term)), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {**(extra_context or {}), "notices": notices()})

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Job, **kwargs: Any
    ) -> HttpResponse:
        found = Attempt.objects.filter(job_id=obj.pk).order_by("-epoch", "-number")[:ATTEMPTS_SHOWN]
        context |= {
            "attempts": [attempt_row(obj, attempt) for attempt in found],
            "flower_url": flower_url(obj),
            "reasons": explain(obj),
            "edit_url": reverse("admin:jobs_job_edit", args=[obj.pk]) if self.may_requeue(request, obj) else "",
            "requeue_url": reverse("admin:jobs_job_requeue", args=[obj.pk]) if self.may_requeue(request, obj) else "",
            "buttons": self.forms_of(request, obj),
            "may_see_audit": request.user.has_perm("jobs.view_auditentry"),
        }
        return super().render_change_form(request, context, *args, obj=obj, **kwargs)
