"""Run past times of a schedule, from a page of its own: it lists first what it would do."""

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from jobs.admin.operator import REASON_LENGTH, operator

from .. import verbs
from ..errors import InvalidSchedule
from ..models import LONGEST, MOST
from .actions import counted
from .buttons import PAGE, ButtonsAdmin
from .columns import zone_in
from .fields import Moment, SpanField
from .preview import stamp

LISTED = 500
"""Due times that the page lists."""


class BackfillForm(forms.Form):
    start = Moment(label="From")
    end = Moment(label="To")
    cap = forms.IntegerField(
        label="At most", initial=100, min_value=1, max_value=MOST, help_text="runs at once, the earliest ones."
    )
    spread = SpanField(
        label="Spread over",
        initial=0.0,
        min_value=0,
        max_value=LONGEST,
        help_text="The starts of the runs, as 30m; 0: all at once.",
    )
    reason = forms.CharField(required=False, max_length=REASON_LENGTH, widget=forms.TextInput(attrs={"size": 60}))

    @property
    def asked(self) -> str:
        """What was asked for, to see that what is confirmed is what was listed."""
        data = self.cleaned_data
        return f"{data['start'].isoformat()} {data['end'].isoformat()} {data['cap']} {data['spread']:g}"


@dataclass(frozen=True, slots=True)
class Listed:
    local: str
    utc: str
    becomes: str


class BackfillAdmin(ButtonsAdmin):
    """Adds the page “Backfill” for those who hold `schedules.backfill_schedule`."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.backfill_view)
        name = f"{self.opts.app_label}_{self.opts.model_name}_backfill"
        return [path("<int:id_>/backfill/", view, name=name), *super().get_urls()]

    def backfill_view(self, request: HttpRequest, id_: int) -> HttpResponse:
        if not (self.has_view_permission(request) and self.has_backfill_permission(request)):
            raise PermissionDenied
        task = get_object_or_404(self.get_queryset(request), pk=id_)
        zone = zone_in(task)
        # Times are typed and shown as the schedule's clock has them.
        with timezone.override(zone):
            form = BackfillForm(request.POST or None)
            found = self._backfilled(request, task, form) if request.method == "POST" and form.is_valid() else None
            if found is not None and found.made:
                return HttpResponseRedirect(reverse(PAGE, args=[id_]))
            context = {
                **self.admin_site.each_context(request),
                "title": "Backfill",
                "opts": self.opts,
                "task": task,
                "zone_name": str(zone),
                "form": form,
                **_context(found, form, zone),
            }
            return TemplateResponse(request, "admin/schedules/backfill.html", context).render()

    def _backfilled(self, request: HttpRequest, task: PeriodicTask, form: BackfillForm) -> verbs.Backfilled | None:
        """What it would do, or what it did if that was seen and confirmed; None when it can't be."""
        dry = "confirmed" not in request.POST or request.POST.get("asked") != form.asked
        try:
            found = verbs.backfill(task.pk, **form.cleaned_data, **operator(request), dry_run=dry)
        except InvalidSchedule as error:
            form.add_error(None, str(error))
            return None
        if not dry:
            level = messages.SUCCESS if found.made else messages.WARNING
            self.message_user(request, f"Backfill: made {counted(len(found.made), 'run')}.", level)
        return found


def _context(found: verbs.Backfilled | None, form: BackfillForm, zone: tzinfo) -> dict[str, Any]:
    if found is None:
        return {}
    existing = set(found.existing)
    missing = [due for due in found.due if due not in existing]
    chosen = set(missing[: form.cleaned_data["cap"]])
    listed = [Listed(stamp(due, zone), stamp(due, UTC), _becomes(due, existing, chosen)) for due in found.due[:LISTED]]
    return {
        "found": found,
        "asked": form.asked,
        "would": len(chosen),
        "listed": listed,
        "unlisted": len(found.due) - len(listed),
        "later": len(missing) - len(chosen),
    }


def _becomes(due: datetime, existing: set[datetime], chosen: set[datetime]) -> str:
    if due in existing:
        return "has a run already"
    return "would run" if due in chosen else "not this time: beyond the most"
