"""Filters of the list of schedules."""

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Now
from django.http import HttpRequest
from django_celery_beat.models import PeriodicTask

from jobs.models import Job

from ..models import Occurrence
from ..states import Owner
from .columns import LATE
from .runs import FAILED

Choices = list[tuple[str, str]]
MOST = 200
"""Names that a filter offers."""


class Chosen(admin.SimpleListFilter):
    """Each choice is a condition."""

    conditions: dict[str, tuple[str, Q]] = {}

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> Choices:
        return [(name, words) for name, (words, _) in self.conditions.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> QuerySet[PeriodicTask]:
        found = self.conditions.get(self.value() or "")
        return queryset.filter(found[1]) if found else queryset


class EnabledFilter(Chosen):
    title, parameter_name = "enabled", "enabled"
    conditions = {"yes": ("enabled", Q(enabled=True)), "no": ("disabled", Q(enabled=False))}


class PausedFilter(Chosen):
    title, parameter_name = "paused", "paused"
    conditions = {
        "yes": ("paused", Q(companion__paused_at__isnull=False)),
        "no": ("not paused", Q(companion__paused_at=None)),
    }


class OwnerFilter(Chosen):
    title, parameter_name = "owner", "owner"
    conditions = {
        "people": ("people", ~Q(companion__managed_by=Owner.CODE)),
        "code": ("code", Q(companion__managed_by=Owner.CODE)),
        "gone": ("code that is gone", Q(companion__managed_by=Owner.CODE, companion__withdrawn=True)),
    }


class HealthFilter(admin.SimpleListFilter):
    title, parameter_name = "health", "health"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> Choices:
        return [("late", "late"), ("failing", "failing"), ("error", "in error"), ("never", "never ran")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> QuerySet[PeriodicTask]:
        match self.value():
            case "late":
                due = Coalesce("companion__retry_at", "companion__next_run_at")
                late = queryset.annotate(due=due).filter(due__lt=Now() - LATE)
                return late.filter(companion__active=True, companion__paused_at=None)
            case "failing":
                return queryset.annotate(last=_last_state()).filter(last__in=FAILED)
            case "error":
                return queryset.exclude(companion__error="")
            case "never":
                return queryset.annotate(last=_last_run()).filter(last=None)
        return queryset


class NameFilter(admin.SimpleListFilter):
    """One of the names that a column holds."""

    column: str

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> Choices:
        named = PeriodicTask.objects.filter(**{f"{self.column}__gt": ""}).order_by(self.column)
        return [(name, name) for name in named.values_list(self.column, flat=True).distinct()[:MOST]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> QuerySet[PeriodicTask]:
        return queryset.filter(**{self.column: self.value()}) if self.value() else queryset


class TaskFilter(NameFilter):
    title = parameter_name = column = "task"


class QueueFilter(NameFilter):
    title = parameter_name = column = "queue"


def _last_run() -> Any:
    """The job of a schedule's latest run."""
    with_job = Occurrence.objects.filter(schedule_id=OuterRef("pk"), job_id__isnull=False)
    return Subquery(with_job.order_by("-id").values("job_id")[:1])


def _last_state() -> Any:
    with_job = Occurrence.objects.filter(schedule_id=OuterRef("pk"), job_id__isnull=False).order_by("-id")
    state = Job.objects.filter(pk=OuterRef("job_id")).values("state")[:1]
    return Subquery(with_job.annotate(job_state=Subquery(state)).values("job_state")[:1])
