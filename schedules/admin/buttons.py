"""The buttons on a schedule's own page: where it stands so that they do something, and the user has the right."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django_celery_beat.models import PeriodicTask

from jobs.admin.operator import operator, reason_of
from jobs.errors import InvalidPause, JobsError

from .. import verbs
from .actions import FIXED, ActionsAdmin, PauseForm
from .columns import is_fixed

PAGE = "admin:django_celery_beat_periodictask_change"
NOTHING = "Nothing was changed: it stood so already, or is gone."


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    label: str
    permission: str
    does: Callable[..., str]
    """(request, id) to what it did, in a sentence; "" if it stood so already. Raises JobsError."""
    fits: Callable[[PeriodicTask], bool]


def _run(request: HttpRequest, id_: int) -> str:
    for one in verbs.run_now([id_], reason=reason_of(request), **operator(request)):
        if one.job_id is None:
            raise JobsError(f"It was not run: {one.refused}")
        url = reverse("admin:jobs_job_change", args=[one.job_id])
        return format_html('Started a run: <a href="{}">job {}</a>.', url, one.job_id)
    return ""


def _pause(request: HttpRequest, id_: int) -> str:
    form = PauseForm(request.POST)
    if not form.is_valid():
        raise InvalidPause(" ".join(text for texts in form.errors.values() for text in texts))
    done = verbs.pause([id_], reason=reason_of(request), until=form.cleaned_data["until"], **operator(request))
    return "Paused." if done else ""


def _resume(request: HttpRequest, id_: int) -> str:
    return "Resumed." if verbs.resume([id_], reason=reason_of(request), **operator(request)) else ""


def _enable(request: HttpRequest, id_: int) -> str:
    return "Enabled." if verbs.set_enabled([id_], True, reason=reason_of(request), **operator(request)) else ""


def _disable(request: HttpRequest, id_: int) -> str:
    return "Disabled." if verbs.set_enabled([id_], False, reason=reason_of(request), **operator(request)) else ""


CHANGE = "django_celery_beat.change_periodictask"
BUTTONS = {
    "run": Button(label="Run now", permission="schedules.run_schedule", does=_run, fits=lambda task: True),
    "pause": Button(
        label="Pause",
        permission="schedules.pause_schedule",
        does=_pause,
        fits=lambda task: not task.companion.is_paused,
    ),
    "resume": Button(
        label="Resume",
        permission="schedules.pause_schedule",
        does=_resume,
        fits=lambda task: task.companion.is_paused,
    ),
    "enable": Button(
        label="Enable",
        permission=CHANGE,
        does=_enable,
        fits=lambda task: not task.enabled and not is_fixed(task.companion),
    ),
    "disable": Button(
        label="Disable",
        permission=CHANGE,
        does=_disable,
        fits=lambda task: task.enabled and not is_fixed(task.companion),
    ),
}
"""By the last part of their addresses."""


class ButtonsAdmin(ActionsAdmin):
    """Adds the forms of BUTTONS to a schedule's page."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.verb_view)
        name = f"{self.opts.app_label}_{self.opts.model_name}_verb"
        return [path("<int:id_>/do/<slug:verb>/", view, name=name), *super().get_urls()]

    def verb_view(self, request: HttpRequest, id_: int, verb: str) -> HttpResponse:
        if (button := BUTTONS.get(verb)) is None:
            raise Http404
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not (self.has_view_permission(request) and request.user.has_perm(button.permission)):
            raise PermissionDenied
        found = PeriodicTask.objects.select_related("companion").filter(pk=id_).first()
        if found is not None and button.permission == CHANGE and is_fixed(found.companion):
            self.message_user(request, FIXED, messages.ERROR)
            return HttpResponseRedirect(reverse(PAGE, args=[id_]))
        try:
            said = button.does(request, id_)
        except JobsError as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            self.message_user(request, said or NOTHING, messages.SUCCESS if said else messages.WARNING)
        return HttpResponseRedirect(reverse(PAGE, args=[id_]))

    def forms_of(self, request: HttpRequest, task: PeriodicTask) -> list[dict[str, Any]]:
        """What the page needs of each button that it shows."""
        return [
            {
                "verb": verb,
                "label": button.label,
                "url": reverse("admin:django_celery_beat_periodictask_verb", args=[task.pk, verb]),
            }
            for verb, button in BUTTONS.items()
            if button.fits(task) and request.user.has_perm(button.permission)
        ]
