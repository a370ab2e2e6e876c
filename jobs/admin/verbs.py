"""An operator's verbs over the selected jobs or a whole filtered list: counted on a page of its own, then done."""

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse

from ..engine import JobFilter, Request, bulk
from ..errors import InvalidFilter, InvalidJob
from ..models import Job
from ..queries import find_jobs
from ..states import CANCEL, DISMISS, ESCALATE, FINAL, LEASED, REQUEUE, WAITING, State
from .operator import operator, reason_of

MOST = 100_000
"""Jobs that one request moves; a longer list is worked off by repeating it."""


class VerbForm(forms.Form):
    number = forms.FloatField(required=True)
    reason = forms.CharField(required=False, max_length=500, widget=forms.TextInput(attrs={"size": 40}))

    def __init__(self, label: str, initial: float, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if label:
            self.fields["number"].label = label
            self.fields["number"].initial = initial
        else:
            del self.fields["number"]


class VerbsAdmin(admin.ModelAdmin):
    """Actions that show first how many jobs they would move."""

    listed_states: Collection[State] = ()
    """States of the list itself; none is every state."""
    actions: tuple[str, ...] = (
        "requeue_at_rate",
        "cancel_selected",
        "boost_selected",
        "dismiss",
        "escalate",
        "purge_selected",
    )

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("jobs.cancel_job")

    def has_boost_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("jobs.boost_job")

    def has_purge_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("jobs.purge_job")

    @admin.action(description="Requeue selected %(verbose_name_plural)s at a rate…", permissions=["requeue"])
    def requeue_at_rate(self, request: HttpRequest, queryset: QuerySet[Job]) -> TemplateResponse | None:
        def verb(which: JobFilter, ask: Request, number: float) -> bulk.Done:
            return bulk.requeue(which, ask, per_second=number)

        return self._ask(request, queryset, verb, REQUEUE.sources, label="Jobs a second", initial=10)

    @admin.action(description="Cancel selected %(verbose_name_plural)s…", permissions=["cancel"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Job]) -> TemplateResponse | None:
        return self._ask(request, queryset, lambda which, ask, _: bulk.cancel(which, ask), CANCEL.sources | LEASED)

    @admin.action(description="Boost selected %(verbose_name_plural)s…", permissions=["boost"])
    def boost_selected(self, request: HttpRequest, queryset: QuerySet[Job]) -> TemplateResponse | None:
        def verb(which: JobFilter, ask: Request, number: float) -> bulk.Done:
            return bulk.boost(which, ask, points=int(number))

        return self._ask(request, queryset, verb, WAITING, label="Points", initial=10)

    @admin.action(description="Dismiss selected dead letters…", permissions=["requeue"])
    def dismiss(self, request: HttpRequest, queryset: QuerySet[Job]) -> TemplateResponse | None:
        def verb(which: JobFilter, ask: Request, _: float) -> bulk.Done:
            return bulk.set_state(which, ask, state=DISMISS.target)

        return self._ask(request, queryset, verb, DISMISS.sources)

    @admin.action(description="Make selected failed jobs dead letters…", permissions=["requeue"])
    def escalate(self, request: HttpRequest, queryset: QuerySet[Job]) -> TemplateResponse | None:
        def verb(which: JobFilter, ask: Request, _: float) -> bulk.Done:
            return bulk.set_state(which, ask, state=ESCALATE.target)

        return self._ask(request, queryset, verb, ESCALATE.sources)

    @admin.action(description="Delete selected finished %(verbose_name_plural)s…", permissions=["purge"])
    def purge_selected(self, request: HttpRequest, queryset: QuerySet[Job]) -> TemplateResponse | None:
        return self._ask(request, queryset, lambda which, ask, _: bulk.purge(which, ask), FINAL)

    def _ask(
        self,
        request: HttpRequest,
        queryset: QuerySet[Job],
        verb: Callable[[JobFilter, Request, float], bulk.Done],
        sources: Collection[State],
        *,
        label: str = "",
        initial: float = 1,
    ) -> TemplateResponse | None:
        """The page that counts and asks; after it, the verb and one sentence."""
        which = self.chosen(request, queryset, sources)
        confirmed = "confirmed" in request.POST
        form = VerbForm(label, initial, request.POST if confirmed else None)
        ask = Request(**operator(request), reason=reason_of(request), most=MOST)
        try:
            if confirmed and form.is_valid():
                done = verb(which, ask, form.cleaned_data.get("number", initial))
                self.message_user(request, sentence(done), messages.SUCCESS if done.moved else messages.WARNING)
                return None
            found = verb(which, replace(ask, dry_run=True), initial)
        except (InvalidFilter, InvalidJob) as error:
            self.message_user(request, str(error), messages.ERROR)
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": f"{found.verb.capitalize()} jobs",
            "opts": self.opts,
            "found": found,
            "form": form,
            "hidden": [(name, value) for name in _KEPT for value in request.POST.getlist(name)],
        }
        return TemplateResponse(request, "admin/jobs/job/confirm.html", context)

    def chosen(self, request: HttpRequest, queryset: QuerySet[Job], sources: Collection[State]) -> JobFilter:
        """The ticked rows, or all that the list's own filters leave. Raises nothing: a contradiction is no job."""
        if request.POST.get("select_across") != "1":
            return JobFilter(ids=list(queryset.values_list("pk", flat=True)))
        given = request.GET
        listed = {given["state"]} if given.get("state") else set(self.listed_states)
        states = listed & set(sources)
        if listed and not states:
            return JobFilter(ids=[])
        which = JobFilter(states=states, queue=given.get("queue") or None, task=given.get("task") or None)
        term = given.get("q", "").strip()
        return replace(which, **find_jobs(term, which.task)) if term else which


_KEPT = ("action", "select_across", "index", "_selected_action")


def sentence(done: bulk.Done) -> str:
    left = done.count - done.moved
    why = "they changed, are needed, wait for another such request, or another job holds their unique key"
    stayed = f" {left:,} stayed: {why}." if left else ""
    return f"{done.verb.capitalize()}: {done.moved:,} {'job' if done.moved == 1 else 'jobs'}.{stayed}"
