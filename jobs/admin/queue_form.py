"""The settings of a queue in an operator's words."""

from typing import Any

from django import forms
from django.utils import timezone

from ..conf import jobs_settings
from ..models import Queue
from ..models.jobs import STRICT_AGING

SECOND = 1_000_000  # µs


class QueueForm(forms.ModelForm):
    paused = forms.BooleanField(
        required=False, help_text="Its jobs stay in the database; those that workers hold already are finished."
    )
    order = forms.ChoiceField(
        choices=[("aging", "By priority and waiting time"), ("strict", "By priority alone (low ones may wait long)")],
        widget=forms.RadioSelect,
        help_text="Jobs that wait already are ranked anew within seconds.",
    )
    aging = forms.IntegerField(
        label="Seconds per point",
        min_value=1,
        max_value=10**7,
        required=False,
        help_text="Seconds of waiting that weigh as much as one point of priority.",
    )

    class Meta:
        model = Queue
        fields = ("paused_reason", "weight", "max_size", "dead_letter_cap", "dead_letter_days")
        widgets = {"paused_reason": forms.TextInput(attrs={"size": 60, "maxlength": 500})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        queue = self.instance
        seconds = jobs_settings().aging if queue.is_strict else queue.aging_us // SECOND
        self.initial |= {
            "paused": queue.paused_at is not None,
            "order": "strict" if queue.is_strict else "aging",
            "aging": seconds,
        }

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("paused") and not data.get("paused_reason"):
            self.add_error("paused_reason", "Say why: whoever finds the queue paused will ask.")
        if data.get("order") == "aging" and not data.get("aging") and "aging" not in self.errors:
            self.add_error("aging", "Give the seconds, 1 or more.")
        return data

    def save(self, commit: bool = True) -> Queue:
        queue = self.instance
        if self.cleaned_data["paused"] != (queue.paused_at is not None):
            queue.paused_at = timezone.now() if self.cleaned_data["paused"] else None
        if queue.paused_at is None:
            queue.paused_reason = ""
        strict = self.cleaned_data["order"] == "strict"
        queue.aging_us = STRICT_AGING if strict else self.cleaned_data["aging"] * SECOND
        return super().save(commit)
