"""An operator's verbs on a job's own page: a button where the states have the transition and the user the right."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse

from .. import engine
from ..engine.control import POSTPONABLE, clock, reclassify
from ..errors import InvalidJob
from ..models import Job
from ..states import CANCEL, DISMISS, ESCALATE, LEASED, WAITING, State
from .edit import EditAdmin
from .operator import operator, reason_of

LONGEST = 10 * 365 * 86_400
"""Seconds."""
Verb = Callable[..., str]
"""(job id, number, actor, reason, ip) to what it did, in a sentence; "" if the job was in no state for it any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    label: str
    permission: str
    sources: frozenset[State]
    does: Verb
    number: Callable[[Job], int] | None = None
    """What stands in its field at first; without it, it has none."""

    def shown(self, request: HttpRequest, job: Job) -> bool:
        return job.state in self.sources and request.user.has_perm(self.permission)


def _cancel(job_id: UUID, number: int, **who: Any) -> str:
    done = engine.cancel([job_id], **who)
    asked = "Its worker was asked to stop it." if done.asked else ""
    return "Cancelled." if done.now else asked


def _set_priority(job_id: UUID, number: int, **who: Any) -> str:
    return _priority_of(engine.set_priority([job_id], number, **who))


def _boost(job_id: UUID, number: int, **who: Any) -> str:
    return _priority_of(engine.boost([job_id], number, **who))


def _postpone(job_id: UUID, number: int, **who: Any) -> str:
    if abs(number) > LONGEST:
        raise InvalidJob(f"Postpone by {number:,} seconds: expected at most {LONGEST:,}.")
    moved = engine.postpone([job_id], clock() + timedelta(seconds=number), **who)
    return "".join(f"It starts at {at:%Y-%m-%d %H:%M:%S %Z}, or as soon as it can after that." for at in moved.values())


def _priority_of(moved: dict[UUID, int]) -> str:
    return "".join(f"Its priority is {priority} now." for priority in moved.values())


def _escalate(job_id: UUID, number: int, **who: Any) -> str:
    return "It is a dead letter now." if reclassify([job_id], ESCALATE, **who) else ""


def _dismiss(job_id: UUID, number: int, **who: Any) -> str:
    return "Dismissed: it is failed, and no dead letter any more." if reclassify([job_id], DISMISS, **who) else ""


BUTTONS = {
    "cancel": Button(label="Cancel", permission="jobs.cancel_job", sources=CANCEL.sources | LEASED, does=_cancel),
    "set-priority": Button(
        label="Set priority",
        permission="jobs.boost_job",
        sources=WAITING,
        does=_set_priority,
        number=lambda job: job.priority,
    ),
    "boost": Button(label="Boost by", permission="jobs.boost_job", sources=WAITING, does=_boost, number=lambda job: 10),
    "postpone": Button(
        label="Start in (seconds)",
        permission="jobs.postpone_job",
        sources=POSTPONABLE,
        does=_postpone,
        number=lambda job: 0,
    ),
    "escalate": Button(
        label="Make it a dead letter", permission="jobs.requeue_job", sources=ESCALATE.sources, does=_escalate
    ),
    "dismiss": Button(label="Dismiss", permission="jobs.requeue_job", sources=DISMISS.sources, does=_dismiss),
}
"""By the last part of their addresses. Requeue has a form of its own."""


class ButtonsAdmin(EditAdmin):
    """Adds the forms of BUTTONS to a job's page."""

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_verb"
        view = self.admin_site.admin_view(self.verb_view)
        return [path("<uuid:job_id>/do/<slug:verb>/", view, name=name), *super().get_urls()]

    def verb_view(self, request: HttpRequest, job_id: UUID, verb: str) -> HttpResponse:
        if (button := BUTTONS.get(verb)) is None:
            raise Http404
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not (self.has_view_permission(request) and request.user.has_perm(button.permission)):
            raise PermissionDenied
        try:
            said = button.does(job_id, _number(request, button), reason=reason_of(request), **operator(request))
        except InvalidJob as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            level = messages.SUCCESS if said else messages.WARNING
            self.message_user(request, said or f"{button.label}: nothing was changed, {_now(job_id)}.", level)
        return HttpResponseRedirect(reverse("admin:jobs_job_change", args=[job_id]))

    def forms_of(self, request: HttpRequest, job: Job) -> list[dict[str, Any]]:
        """What the page needs of each button that it shows."""
        return [
            {
                "verb": verb,
                "label": button.label,
                "url": reverse("admin:jobs_job_verb", args=[job.pk, verb]),
                "number": None if button.number is None else button.number(job),
            }
            for verb, button in BUTTONS.items()
            if button.shown(request, job)
        ]


def _number(request: HttpRequest, button: Button) -> int:
    """Raises InvalidJob."""
    if button.number is None:
        return 0
    text = request.POST.get("number", "").strip()
    try:
        return int(text)
    except ValueError as error:
        raise InvalidJob(f"{button.label} {text[:20]!r}: expected a whole number.") from error


def _now(job_id: UUID) -> str:
    state = Job.objects.filter(pk=job_id).values_list("state", flat=True).first()
    return f"the job is {State(state).replace('_', ' ')} now" if state else "the job is gone"
