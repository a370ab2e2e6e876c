"""Filters whose choices cost nothing: none asks the table of jobs for its distinct values."""

from functools import cache

from celery import current_app
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from ..models import Job, Queue
from ..states import FINAL, State, choices
from ..wire import CARRIER

Choices = list[tuple[str, str]]


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> Choices:
        return choices(State)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        if self.value() is None:
            return queryset
        chosen = queryset.filter(state=self.value())
        # Says to the planner that the indexes on finished jobs will do.
        return chosen.filter(finished_at__isnull=False) if self.value() in FINAL else chosen


class QueueFilter(admin.SimpleListFilter):
    title = "queue"
    parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> Choices:
        return [(name, name) for name in Queue.objects.order_by("name").values_list("name", flat=True)[:200]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        return queryset.filter(queue=self.value()) if self.value() else queryset


class TaskFilter(admin.SimpleListFilter):
    title = "task"
    parameter_name = "task"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> Choices:
        return [(name, name) for name in registered_tasks()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        return queryset.filter(task=self.value()) if self.value() else queryset


@cache
def registered_tasks() -> list[str]:
    """The tasks of this process's Celery app, without Celery's own and the platform's message."""
    current_app.loader.import_default_modules()
    return sorted(name for name in current_app.tasks if name != CARRIER and not name.startswith("celery."))
