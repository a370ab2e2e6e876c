"""The policies of a schedule as fields of a form, in plain words."""

from typing import Any

from django import forms
from django.db import models

from ..code import POLICY
from ..models import Schedule
from ..states import Misfire, Overlap
from .fields import SpanField, TagsField

LABELS = {
    "overlap": "If an earlier run is not over",
    "misfire": "If runs were missed",
    "misfire_cap": "Missed runs at most",
    "spread": "Spread missed runs over",
    "window": "A run is missed after",
    "jitter": "Random delay up to",
    "max_runs": "Runs at most",
    "pause_after_failures": "Pause after failures",
    "timeout": "Time limit",
    "max_retries": "Retries",
    "expires_after": "Expires after",
}
HELP = {
    "misfire": "They are missed when nothing makes them in time: no beat ran, or the schedule was paused.",
    "misfire_cap": "Of “run all of them”: the latest ones.",
    "spread": "Of “run all of them”: their starts, as 10m.",
    "window": "Until then a late run counts as on time. As 60s or 5m.",
    "jitter": "Schedules of one time then do not start at once.",
    "max_runs": "Then it is over. Empty: no limit.",
    "pause_after_failures": "So many failed runs in a row. Empty: never.",
    "timeout": "A job that runs longer is stopped, as 90s or 1h30m. Empty: the task's own.",
    "max_retries": "Of each job. Empty: the task's own.",
    "expires_after": "A job that has not started by then never will. Empty: the task's own.",
    "priority": "−100 to 100, of its jobs. Empty: the task's own.",
    "unique_key": "At most one job of the task holds it at a time. Empty: the task's own.",
    "tags": 'Of each job, as {"team": "mail"}.',
}
WORDS: dict[str, list[tuple[str, str]]] = {
    "overlap": [
        (Overlap.ALLOW, "run both"),
        (Overlap.SKIP, "skip the new run"),
        (Overlap.QUEUE_ONE, "let one new run wait for it, skip further ones"),
        (Overlap.CANCEL_RUNNING, "cancel it, then run"),
    ],
    "misfire": [
        (Misfire.SKIP, "run none"),
        (Misfire.RUN_ONCE, "run once for all of them"),
        (Misfire.RUN_ALL, "run all of them"),
    ],
}
SPANS = ("spread", "window", "jitter", "timeout", "expires_after")


def _field(column: models.Field, **options: Any) -> forms.Field:
    named = {"label": LABELS.get(column.name, options.get("label")), **options}
    if column.name in HELP:
        named["help_text"] = HELP[column.name]
    if column.name in WORDS:
        return forms.ChoiceField(**{**named, "choices": WORDS[column.name], "initial": column.default})
    if column.name in SPANS:
        named.pop("widget", None)
        return column.formfield(**named, form_class=SpanField)
    if column.name == "tags":
        named |= {"form_class": TagsField, "widget": forms.Textarea(attrs={"rows": 2, "cols": 60})}
    if column.name == "unique_key":
        return column.formfield(
            **named, form_class=forms.CharField, max_length=500, widget=forms.TextInput, empty_value=None
        )
    return column.formfield(**named)


PolicyFields: Any = type(
    "PolicyFields", (forms.Form,), forms.fields_for_model(Schedule, fields=POLICY, formfield_callback=_field)
)
"""A form of the columns that people may edit of the companion."""
