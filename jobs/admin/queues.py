"""Queues: what waits in each, and what an operator may change. Every change leaves an audit entry."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Func, IntegerField, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils.html import format_html

from ..models import AuditEntry, Job, Lease, Queue
from ..states import State
from . import shown
from .operator import operator
from .queue_form import SECOND, QueueForm

COUNTED = 10_000
"""Waiting jobs of one queue after which its count stops."""
AUDITED = ("paused_at", "paused_reason", "aging_us", "weight", "max_size", "dead_letter_cap", "dead_letter_days")


@admin.register(Queue)
class QueueAdmin(admin.ModelAdmin):
    form = QueueForm
    list_display = ("name", "status", "waiting", "with_workers", "order", "weight")
    fields = (
        "name",
        "paused",
        "paused_reason",
        "order",
        "aging",
        "weight",
        "max_size",
        "dead_letter_cap",
        "dead_letter_days",
    )
    readonly_fields = ("name",)
    search_fields = ("name",)
    ordering = ("name",)
    sortable_by = ("name", "weight")

    class Media:
        css = {"all": ("jobs/admin.css",)}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Queue | None = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Queue]:
        pending = Job.objects.filter(state=State.PENDING, queue=OuterRef("name")).values("rank")[: COUNTED + 1]
        held = Lease.objects.filter(queue=OuterRef("name"), won_at__isnull=False).order_by().values("queue")
        held = held.annotate(jobs=Sum(_length("job_ids"))).values("jobs")
        return (
            super()
            .get_queryset(request)
            .annotate(pending_count=_length(ArraySubquery(pending)), held_count=Coalesce(Subquery(held), 0))
        )

    @admin.display(description="state")
    def status(self, queue: Queue) -> str:
        if queue.paused_at is None:
            return shown.mark("running", "▶", "open")
        since, why = shown.ago(queue.paused_at), queue.paused_reason or "no reason given"
        return format_html("{} {}: {}", shown.mark("paused", "❚❚", "paused"), since, why)

    @admin.display(description="pending")
    def waiting(self, queue: Queue) -> str:
        return f"{COUNTED:,}+" if queue.pending_count > COUNTED else f"{queue.pending_count:,}"

    @admin.display(description="with workers")
    def with_workers(self, queue: Queue) -> str:
        return f"{queue.held_count:,}"

    @admin.display(description="order")
    def order(self, queue: Queue) -> str:
        return "strict priority" if queue.is_strict else f"one point weighs {shown.rough(queue.aging_us / SECOND)}"

    def save_model(self, request: HttpRequest, obj: Queue, form: QueueForm, change: bool) -> None:
        """Write what changed and its audit entry, in the transaction that the admin has open around the form."""
        before = Queue.objects.select_for_update().filter(pk=obj.pk).values(*AUDITED).get()
        changed = [name for name in AUDITED if before[name] != getattr(obj, name)]
        if not changed:
            return
        obj.save(update_fields=changed)
        AuditEntry.objects.create(
            action=_action(changed, obj),
            resource_type="queue",
            resource_id=obj.name,
            detail={name: {"from": _plain(before[name]), "to": _plain(getattr(obj, name))} for name in changed},
            **operator(request),
        )


def _action(changed: list[str], queue: Queue) -> str:
    if "paused_at" not in changed:
        return "change"
    return "resume" if queue.paused_at is None else "pause"


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def _length(array: Any) -> Func:
    """The number of elements of an array."""
    return Func(array, function="cardinality", output_field=IntegerField())
