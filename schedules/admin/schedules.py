"""Schedules: a list that stays quick over thousands of them, and one form for each."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from jobs.admin.audit import PAGES
from jobs.admin.big_tables import BigTableList
from jobs.admin.notices import Notice
from jobs.admin.operator import operator
from jobs.engine.control import audit
from jobs.engine.link import jobs_alias

from ..models import Beat, Schedule
from ..times import store
from ..verbs import RESOURCE
from . import runs
from .buttons import PAGE
from .columns import ScheduleColumns, is_fixed, owner_of, recent
from .filters import EnabledFilter, HealthFilter, OwnerFilter, PausedFilter, QueueFilter, TaskFilter
from .form import ScheduleForm
from .history import HistoryAdmin, may_see_jobs
from .preview import preview_of

SILENT = 30.0
"""Seconds without a sign of life after which a beat counts as gone."""
ROWS = ("interval", "crontab", "solar", "clocked")
LATEST = 20
"""Runs that a schedule's page lists."""
PAGES[RESOURCE] = PAGE


class ScheduleList(BigTableList):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list: list[PeriodicTask] = list(self.result_list)
        found = runs.latest([task.pk for task in self.result_list])
        for task in self.result_list:
            task.recent_runs = found[task.pk]
            task.links_jobs = may_see_jobs(request)


@admin.register(PeriodicTask)
class ScheduleAdmin(ScheduleColumns, HistoryAdmin):
    form = ScheduleForm
    list_display = ("label", "marks", "when", "strip", "next_run", "place")
    list_filter = (EnabledFilter, PausedFilter, HealthFilter, TaskFilter, QueueFilter, OwnerFilter)
    search_fields = ("name", "task")
    search_help_text = "A part of a name, or of a task."
    ordering = ("name",)
    sortable_by = ("label", "next_run", "place")
    list_per_page = 50
    list_max_show_all = 0
    empty_value_display = "–"
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    save_as = True
    change_form_template = "admin/schedules/change_form.html"
    change_list_template = "admin/schedules/change_list.html"
    fieldsets = (
        (None, {"fields": ("name", "description", "enabled")}),
        ("When", {"fields": (("when", "zone"), ("start_time", "expires"), ("max_runs", "one_off"))}),
        ("What", {"fields": ("task", "args", "kwargs")}),
        (
            "When runs meet, or are missed",
            {
                "fields": (
                    ("overlap", "pause_after_failures"),
                    ("misfire", "misfire_cap", "spread"),
                    ("window", "jitter"),
                )
            },
        ),
        (
            "Its jobs",
            {"fields": (("queue", "priority"), ("timeout", "max_retries", "expires_after"), "unique_key", "tags")},
        ),
    )
    read_fieldsets = (
        (None, {"fields": ("name", "description", "owner")}),
        ("When", {"fields": ("when", "starts", "ends", "one_off")}),
        ("What", {"fields": ("call", "args_json", "kwargs_json", "queue")}),
        ("Policies", {"fields": ("policies",)}),
    )

    class Media:
        css = {"all": ("jobs/admin.css", "schedules/admin.css")}
        js = ("schedules/preview.js",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[PeriodicTask]:
        return super().get_queryset(request).select_related("companion", *ROWS)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ScheduleList

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.preview_view)
        name = f"{self.opts.app_label}_{self.opts.model_name}_preview"
        return [
            path("preview/", view, name=f"{name}_new"),
            path("<int:id_>/preview/", view, name=name),
            *super().get_urls(),
        ]

    def get_fieldsets(self, request: HttpRequest, obj: PeriodicTask | None = None) -> Any:
        return self.fieldsets if self._may_edit(request, obj) else self.read_fieldsets

    def has_change_permission(self, request: HttpRequest, obj: PeriodicTask | None = None) -> bool:
        may = super().has_change_permission(request, obj)
        return may and not (obj is not None and obj.pk and is_fixed(obj.companion))

    def has_delete_permission(self, request: HttpRequest, obj: PeriodicTask | None = None) -> bool:
        may = super().has_delete_permission(request, obj)
        return may and not (obj is not None and owner_of(obj.companion) in ("code", "code, editable"))

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> PeriodicTask | None:
        """Held while it is edited: the beat counts runs in the same row, and a save writes all of it."""
        found = super().get_object(request, object_id, from_field)
        if found is None or request.method != "POST":
            return found
        held = PeriodicTask.objects.using(jobs_alias()).filter(pk=found.pk)
        held.select_for_update(no_key=True).values_list("pk").first()
        return super().get_object(request, object_id, from_field)

    def save_model(self, request: HttpRequest, obj: PeriodicTask, form: ScheduleForm, change: bool) -> None:
        """The rows of all tables and the audit entry, in the transaction that the admin has open around the form."""
        if form.times is not None:
            columns = store(form.times)
            for name, value in {**columns, "one_off": columns["one_off"] or obj.one_off}.items():
                setattr(obj, name, value)
        obj.save()
        Schedule.objects.using(jobs_alias()).filter(pk=obj.pk).update(**form.policy)
        audit(
            "change" if change else "create",
            (RESOURCE, str(obj.pk)),
            detail={"name": obj.name, **form.changes(edits=change)},
            **operator(request),
        )

    def preview_view(self, request: HttpRequest, id_: int | None = None) -> HttpResponse:
        """The preview of a form that is being filled in, as a part of a page."""
        found = None if id_ is None else get_object_or_404(self.get_queryset(request), pk=id_)
        if request.method != "POST" or not self._may_edit(request, found):
            raise PermissionDenied
        form = self.get_form(request, found, change=found is not None)(request.POST, instance=found)
        form.is_valid()
        context = {"preview": form.preview, "errors": form.errors}
        return TemplateResponse(request, "admin/schedules/includes/preview.html", context)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        beats = list(Beat.objects.annotate(now=Now()).order_by("-ticked_at")[:5])
        alive = [one for one in beats if (one.now - one.ticked_at).total_seconds() < SILENT]
        missing = Notice("Schedules make no jobs: no beat is running", "celery -A jobsite beat")
        context = {"title": "Schedules", "beats": alive, "notices": [] if alive else [missing]}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: PeriodicTask | None = None, **kwargs: Any
    ) -> HttpResponse:
        context["title"] = "Schedule" if obj is not None and obj.pk else "New schedule"
        context["subtitle"] = obj.name if obj is not None else None
        context["may_edit"] = self._may_edit(request, obj)
        context["preview"] = context["adminform"].form.preview if context["may_edit"] else preview_of(obj)
        if obj is not None and obj.pk:
            context |= self._page(request, obj)
        return super().render_change_form(request, context, *args, obj=obj, **kwargs)

    def _may_edit(self, request: HttpRequest, obj: PeriodicTask | None) -> bool:
        return self.has_change_permission(request, obj) if obj is not None else self.has_add_permission(request)

    def _page(self, request: HttpRequest, task: PeriodicTask) -> dict[str, Any]:
        found = recent(task)
        return {
            "marks": self.marks(task),
            "strip": runs.strip(found),
            "runs": [runs.row(run, linked=may_see_jobs(request)) for run in found[:LATEST]],
            "owner": owner_of(task.companion),
            "is_fixed": is_fixed(task.companion),
            "buttons": (buttons := self.forms_of(request, task)),
            "asks_until": any(button["verb"] == "pause" for button in buttons),
            "may_backfill": self.has_backfill_permission(request),
            "may_see_audit": request.user.has_perm("jobs.view_auditentry"),
            "site_zone": timezone.get_default_timezone_name(),
            "next_run": self.next_run(task),
            "total": task.total_run_count,
        }
