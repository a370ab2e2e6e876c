"""Workers: who serves what, who is alive, and what each holds now."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import DurationField, ExpressionWrapper, F, Func, IntegerField, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce, Now
from django.http import HttpRequest, HttpResponse

from ..conf import jobs_settings
from ..models import Job, Lease, Worker
from . import shown
from .big_tables import BigTableAdmin

JOBS_SHOWN = 200
"""Jobs in hand that a worker's page lists."""
Choices = list[tuple[str, str]]


class LifeFilter(admin.SimpleListFilter):
    title = "life"
    parameter_name = "life"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> Choices:
        return [("now", "not ended"), ("stopped", "stopped"), ("lost", "lost")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Worker]) -> QuerySet[Worker]:
        match self.value():
            case "now":
                return queryset.filter(stopped_at=None, lost_at=None)
            case "stopped":
                return queryset.filter(stopped_at__isnull=False)
            case "lost":
                return queryset.filter(lost_at__isnull=False)
        return queryset


@admin.register(Worker)
class WorkerAdmin(BigTableAdmin):
    list_display = ("name", "status", "in_hand", "slots", "serves", "started", "host_name", "pid")
    list_filter = (LifeFilter,)
    ordering = (
        F("stopped_at").desc(nulls_first=True),
        F("lost_at").desc(nulls_first=True),
        "-heartbeat_at",
    )
    fields = ("name", "status", "in_hand", "slots", "serves", "started", "host", "pid", "id")
    change_form_template = "admin/jobs/worker/change_form.html"

    class Media:
        css = {"all": ("jobs/admin.css",)}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        leases = Lease.objects.filter(worker=OuterRef("pk")).order_by().values("worker")
        length = Func("job_ids", function="cardinality", output_field=IntegerField())
        # The age by the clock that wrote the heartbeat: the database's.
        age = ExpressionWrapper(Now() - F("heartbeat_at"), output_field=DurationField())
        held = leases.annotate(jobs=Sum(length)).values("jobs")
        return super().get_queryset(request).annotate(silence=age, held_count=Coalesce(Subquery(held), 0))

    @admin.display(description="state")
    def status(self, worker: Worker) -> str:
        if worker.lost_at:
            return shown.mark("dead_letter", "✕", "lost")
        if worker.stopped_at:
            return shown.mark("expired", "■", "stopped")
        beat = f"last heartbeat {shown.rough(max(0.0, worker.silence.total_seconds()))} ago"
        if worker.silence > timedelta(seconds=jobs_settings().worker_timeout):
            return shown.mark("dead_letter", "?", f"silent, {beat}")
        if worker.stopping_at:
            return shown.mark("retrying", "◐", f"stopping, {beat}")
        return shown.mark("completed", "●", f"alive, {beat}")

    @admin.display(description="jobs in hand")
    def in_hand(self, worker: Worker) -> str:
        return f"{worker.held_count:,}"

    @admin.display(description="queues")
    def serves(self, worker: Worker) -> str:
        return "all" if worker.queues is None else ", ".join(worker.queues)

    @admin.display(description="started")
    def started(self, worker: Worker) -> str:
        return shown.ago(worker.started_at)

    @admin.display(description="host")
    def host_name(self, worker: Worker) -> str:
        """The machine; the boot and the process namespace behind it are on the worker's page."""
        return worker.host.partition(" ")[0]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Worker, **kwargs: Any
    ) -> HttpResponse:
        if request.user.has_perm("jobs.view_job"):
            context |= {"jobs": jobs_in_hand(obj)}
        return super().render_change_form(request, context, *args, obj=obj, **kwargs)


def jobs_in_hand(worker: Worker) -> list[dict[str, Any]]:
    """What this worker's leases stand for, oldest lease first."""
    leases = Lease.objects.filter(worker=worker.pk).order_by("won_at").values_list("job_ids", flat=True)[:JOBS_SHOWN]
    ids = [id_ for job_ids in leases for id_ in job_ids][:JOBS_SHOWN]
    found = Job.objects.only("id", "task", "name", "queue", "state", "started_at").in_bulk(ids)
    return [
        {"job": found[id_], "state": shown.badge(found[id_].state), "started": shown.ago(found[id_].started_at)}
        for id_ in ids
        if id_ in found
    ]
