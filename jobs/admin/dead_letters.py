"""Dead letters: the jobs that failed for good, to requeue."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from ..models.dead_letters import DeadLetter
from ..states import State
from .filters import QueueFilter, TaskFilter
from .jobs import JobAdmin


@admin.register(DeadLetter)
class DeadLetterAdmin(JobAdmin):
    list_display = ("label", "error_line", "queue", "starts", "finished_ago", "worker")
    list_filter = (QueueFilter, TaskFilter)
    ordering = ("-finished_at",)
    listed_states = (State.DEAD_LETTER, State.FAILED)

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeadLetter]:
        return super().get_queryset(request).filter(state__in=[State.DEAD_LETTER, State.FAILED])

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """The job's own page, which stays where it is when the job runs again."""
        return HttpResponseRedirect(reverse("admin:jobs_job_change", args=[object_id]))
