"""Pauses of tasks, unique keys and tags: adding one pauses, deleting one resumes. Both leave an audit entry."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from .. import engine
from ..engine.pausing import check
from ..errors import InvalidPause
from ..models import Job, Pause
from ..models.pauses import Held
from ..states import State
from . import shown
from .operator import operator

COUNTED = 10_000
"""Jobs set aside by one pause after which their count stops."""


class PauseForm(forms.ModelForm):
    class Meta:
        model = Pause
        fields = ("kind", "name", "value", "reason", "until")
        widgets = {
            "name": forms.TextInput(attrs={"size": 60}),
            "value": forms.TextInput(attrs={"size": 60}),
            "reason": forms.TextInput(attrs={"size": 60, "maxlength": 500}),
        }

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("value") and data.get("kind") != Held.TAG:
            self.add_error("value", "Only a tag has a value.")
        if not data.get("reason"):
            self.add_error("reason", "Say why: whoever finds it paused will ask.")
        data["value"] = data.get("value") or None
        return data

    def _post_clean(self) -> None:
        """The engine's own check, so that the page says what is wrong."""
        super()._post_clean()
        if not self.errors:
            try:
                check(self.instance.kind, self.instance.what, self.instance.reason, self.instance.until)
            except InvalidPause as error:
                self.add_error(None, str(error))


@admin.register(Pause)
class PauseAdmin(admin.ModelAdmin):
    form = PauseForm
    list_display = ("__str__", "since", "paused_by", "reason", "until", "set_aside")
    ordering = ("-paused_at",)
    actions_on_bottom = True

    class Media:
        css = {"all": ("jobs/admin.css",)}

    def has_change_permission(self, request: HttpRequest, obj: Pause | None = None) -> bool:
        return False

    @admin.display(description="since")
    def since(self, pause: Pause) -> str:
        return shown.ago(pause.paused_at)

    @admin.display(description="set aside")
    def set_aside(self, pause: Pause) -> str:
        held = Job.objects.filter(state=State.PAUSED, pause=pause.pk).values("pk")[: COUNTED + 1].count()
        return f"{COUNTED:,}+" if held > COUNTED else f"{held:,}"

    def save_model(self, request: HttpRequest, obj: Pause, form: PauseForm, change: bool) -> None:
        engine.pause(obj.kind, obj.what, reason=obj.reason, until=obj.until, **operator(request))
        obj.pk = Pause.objects.get(kind=obj.kind, name=obj.name, value=obj.value).pk

    def delete_model(self, request: HttpRequest, obj: Pause) -> None:
        engine.resume(obj.kind, obj.what, **operator(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Pause]) -> None:
        for pause in queryset:
            self.delete_model(request, pause)
