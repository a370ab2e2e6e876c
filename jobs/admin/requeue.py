"""Run failed jobs again, from a list or from a job's page."""

from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse

from .. import engine
from ..engine import Request, bulk
from ..errors import InvalidFilter, JobNotFound
from ..explain import why_it_stays
from ..models import Job
from ..states import REQUEUE
from .operator import REASON_LENGTH, operator, reason_of
from .verbs import VerbsAdmin

MOST = 100_000
"""Jobs that one request requeues."""


class ReasonForm(ActionForm):
    reason = forms.CharField(
        label="Reason:", required=False, max_length=REASON_LENGTH, widget=forms.TextInput(attrs={"size": 20})
    )


class RequeueAdmin(VerbsAdmin):
    """Adds the action and the page's button for those who hold `jobs.requeue_job`."""

    action_form = ReasonForm
    actions = ("requeue_selected", *VerbsAdmin.actions)

    def has_requeue_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("jobs.requeue_job")

    def may_requeue(self, request: HttpRequest, job: Job) -> bool:
        return job.state in REQUEUE.sources and self.has_requeue_permission(request)

    @admin.action(description="Requeue selected %(verbose_name_plural)s", permissions=["requeue"])
    def requeue_selected(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        if request.POST.get("select_across") != "1":
            ids = list(queryset.values_list("pk", flat=True))
            moved = len(_requeue(request, ids))
            self.message_user(request, said(moved, len(ids)), messages.SUCCESS if moved else messages.WARNING)
            return
        ask = Request(**operator(request), reason=reason_of(request), most=MOST)
        try:
            done = bulk.requeue(self.chosen(request, queryset, REQUEUE.sources), ask)
        except InvalidFilter as error:
            self.message_user(request, str(error), messages.ERROR)
            return
        more = f" There are more than {MOST:,}: requeue again for the rest." if done.count > MOST else ""
        level = messages.SUCCESS if done.moved else messages.WARNING
        self.message_user(request, said(done.moved, min(done.count, MOST)) + more, level)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.requeue_view)
        name = f"{self.opts.app_label}_{self.opts.model_name}_requeue"
        return [path("<uuid:job_id>/requeue/", view, name=name), *super().get_urls()]

    def requeue_view(self, request: HttpRequest, job_id: UUID) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not (self.has_view_permission(request) and self.has_requeue_permission(request)):
            raise PermissionDenied
        moved = _requeue(request, [job_id])
        self.message_user(request, told(job_id, bool(moved)), messages.SUCCESS if moved else messages.WARNING)
        return HttpResponseRedirect(reverse("admin:jobs_job_change", args=[job_id]))


def said(moved: int, asked: int) -> str:
    """One sentence on what became of a request to requeue."""
    result = f"Requeued {moved:,} {'job' if moved == 1 else 'jobs'}"
    left = asked - moved
    why = "they had not failed any more, or another job holds their unique key"
    return f"{result}; {left:,} stayed: {why}." if left else f"{result}."


def told(job_id: UUID, moved: bool) -> str:
    """Like `said` of one job; one that stayed says why."""
    try:
        why = None if moved else why_it_stays(job_id)
    except JobNotFound as error:
        return str(error)
    return said(1, 1) if why is None else f"{why.text} {why.advice}".rstrip()


def _requeue(request: HttpRequest, ids: list[UUID]) -> list[UUID]:
    return engine.requeue(ids, reason=reason_of(request), **operator(request)) if ids else []
