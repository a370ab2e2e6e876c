"""django-celery-beat's admin of schedules: its actions need the permission to change, its tasks are registered."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django_celery_beat.admin import PeriodicTaskAdmin, PeriodicTaskForm, TaskChoiceField, TaskSelectWidget
from django_celery_beat.models import PeriodicTask

from jobs.wire import CARRIER


class TaskSelect(TaskSelectWidget):
    def tasks_as_choices(self) -> tuple[tuple[str, str], ...]:
        return tuple(choice for choice in super().tasks_as_choices() if choice[0] != CARRIER)


class TaskField(TaskChoiceField):
    widget = TaskSelect


class ScheduleForm(PeriodicTaskForm):
    regtask = TaskField(label="Task (registered)", required=False)


# Importing beat's admin registered it.
admin.site.unregister(PeriodicTask)


@admin.register(PeriodicTask)
class ScheduleAdmin(PeriodicTaskAdmin):
    form = ScheduleForm

    @admin.action(description="Enable selected tasks", permissions=["change"])
    def enable_tasks(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        super().enable_tasks(request, queryset)

    @admin.action(description="Disable selected tasks", permissions=["change"])
    def disable_tasks(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        super().disable_tasks(request, queryset)

    @admin.action(description="Toggle activity of selected tasks", permissions=["change"])
    def toggle_tasks(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        super().toggle_tasks(request, queryset)

    @admin.action(description="Run selected tasks", permissions=["change"])
    def run_tasks(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        super().run_tasks(request, queryset)
