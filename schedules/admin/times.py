"""The rows that say when, as schedules share them: to look at, since an edit of one would change all who use it."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, SolarSchedule

from jobs.admin.read_only import ReadOnlyAdmin


@admin.register(ClockedSchedule, CrontabSchedule, IntervalSchedule, SolarSchedule)
class TimesAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "used")
    list_per_page = 50

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Not in the index: the form of a schedule finds or makes them."""
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).annotate(users=Count("periodictask"))

    @admin.display(description="schedules that use it")
    def used(self, times: Any) -> str:
        return f"{times.users:,}"
