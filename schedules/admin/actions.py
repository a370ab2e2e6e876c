"""What people may do with the schedules that they select in the list; each action asks for its own permission."""

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django_celery_beat.models import PeriodicTask

from jobs.admin.operator import REASON_LENGTH, operator
from jobs.errors import InvalidPause

from .. import verbs
from .columns import is_fixed
from .fields import Moment


class PauseForm(forms.Form):
    reason = forms.CharField(
        max_length=REASON_LENGTH,
        widget=forms.TextInput(attrs={"size": 60}),
        error_messages={"required": "Say why: whoever finds it paused will ask."},
    )
    until = Moment(required=False, help_text="It resumes by itself then. Empty: by hand.")


class ActionsAdmin(admin.ModelAdmin):
    actions: tuple[str, ...] = (
        "run_selected",
        "pause_selected",
        "resume_selected",
        "enable_selected",
        "disable_selected",
    )

    def has_run_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("schedules.run_schedule")

    def has_pause_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("schedules.pause_schedule")

    def has_backfill_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("schedules.backfill_schedule")

    @admin.action(description="Run selected schedules now", permissions=["run"])
    def run_selected(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        ran = verbs.run_now(_ids(queryset), **operator(request))
        refused = [one for one in ran if one.job_id is None]
        if len(ran) > len(refused):
            self.message_user(request, f"Started {counted(len(ran) - len(refused), 'run')}.", messages.SUCCESS)
        for one in refused[:10]:
            self.message_user(request, f"{_name(queryset, one.schedule)} was not run: {one.refused}", messages.ERROR)

    @admin.action(description="Pause selected schedules…", permissions=["pause"])
    def pause_selected(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> TemplateResponse | None:
        confirmed = "confirmed" in request.POST
        form = PauseForm(request.POST if confirmed else None)
        if confirmed and form.is_valid():
            try:
                paused = verbs.pause(_ids(queryset), **form.cleaned_data, **operator(request))
            except InvalidPause as error:
                form.add_error("until", str(error))
            else:
                self.message_user(request, f"Paused {counted(len(paused), 'schedule')}.", messages.SUCCESS)
                return None
        context = {
            **self.admin_site.each_context(request),
            "title": "Pause schedules",
            "opts": self.opts,
            "form": form,
            "names": list(queryset.order_by("name").values_list("name", flat=True)[:20]),
            "count": queryset.count(),
            "hidden": [(name, value) for name in _KEPT for value in request.POST.getlist(name)],
        }
        return TemplateResponse(request, "admin/schedules/pause.html", context)

    @admin.action(description="Resume selected schedules", permissions=["pause"])
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        self._say(request, "Resumed", verbs.resume(_ids(queryset), **operator(request)))

    @admin.action(description="Enable selected schedules", permissions=["change"])
    def enable_selected(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        ids = self._free(request, queryset)
        self._say(request, "Enabled", verbs.set_enabled(ids, True, **operator(request)))

    @admin.action(description="Disable selected schedules", permissions=["change"])
    def disable_selected(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        ids = self._free(request, queryset)
        self._say(request, "Disabled", verbs.set_enabled(ids, False, **operator(request)))

    def delete_model(self, request: HttpRequest, obj: PeriodicTask) -> None:
        verbs.delete([obj.pk], **operator(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        verbs.delete(_ids(queryset), **operator(request))

    def _free(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> list[int]:
        """Those that are not as code has them; of the others the page says so."""
        fixed = [task for task in queryset.select_related("companion") if is_fixed(task.companion)]
        if fixed:
            names = ", ".join(task.name for task in fixed[:5])
            self.message_user(request, f"{FIXED} Left as they are: {names}.", messages.WARNING)
        return [id_ for id_ in _ids(queryset) if id_ not in {task.pk for task in fixed}]

    def _say(self, request: HttpRequest, did: str, ids: list[int]) -> None:
        level = messages.SUCCESS if ids else messages.WARNING
        self.message_user(request, f"{did} {counted(len(ids), 'schedule')}.", level)


FIXED = "What code declares is changed in the code; pause a schedule instead of disabling it."
_KEPT = ("action", "select_across", "index", "_selected_action")


def counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _ids(queryset: QuerySet[PeriodicTask]) -> list[int]:
    return list(queryset.order_by("pk").values_list("pk", flat=True))


def _name(queryset: QuerySet[PeriodicTask], id_: int) -> str:
    return repr(queryset.model.objects.values_list("name", flat=True).get(pk=id_))
