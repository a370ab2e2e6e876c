"""One form for a schedule: django-celery-beat's rows and the policies beside them, in plain words."""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from jobs.models import Queue

from .. import forecast
from ..checked import check
from ..code import POLICY
from ..errors import InvalidFields, InvalidSchedule
from ..fields import NAMES, Fields, fields_of, recurrence_of, value_of
from ..recurrence import Once
from ..texts import read, text_of
from .fields import Moment, Suggested, ZoneField
from .policy_fields import PolicyFields
from .preview import Preview, preview_of, unsaved
from .tasks import choices

PREVIEW = "_preview"
"""Name of the button that shows what the form would do."""


class ScheduleForm(PolicyFields, forms.ModelForm):
    when = forms.CharField(
        label="When",
        max_length=300,
        widget=forms.TextInput(attrs={"size": 40, "autocomplete": "off", "spellcheck": "false"}),
        help_text=(
            "Five fields (minute, hour, day of month, month, day of week) as 0 2 * * mon-fri; @hourly, @daily, "
            "@weekly, @monthly, @yearly; @every 90s, 30m or 7d; @at 2026-12-24T18:00; @solar sunrise 52.52 13.41."
        ),
    )
    zone = ZoneField(
        label="Time zone", help_text="Of what “When” says of the clock. @every counts seconds and has none."
    )
    start_time = Moment(label="Start", required=False)
    expires = Moment(label="End", required=False)
    task = forms.ChoiceField(help_text="What it takes stands behind its name.")
    args = forms.CharField(
        required=False, initial="[]", widget=forms.Textarea(attrs={"rows": 2, "cols": 80}), help_text='As [1, "two"].'
    )
    kwargs = forms.CharField(
        required=False,
        initial="{}",
        label="Keyword args",
        widget=forms.Textarea(attrs={"rows": 3, "cols": 80}),
        help_text='As {"name": 1}.',
    )

    class Meta:
        model = PeriodicTask
        fields = (
            "name",
            "description",
            "enabled",
            "start_time",
            "expires",
            "one_off",
            "task",
            "args",
            "kwargs",
            "queue",
        )
        labels = {"one_off": "Only once", "queue": "Queue"}
        help_texts = {
            "name": "",
            "description": "",
            "enabled": "",
            "one_off": "It is disabled after its first run.",
            "queue": "Of its jobs. Empty: the task's own.",
        }
        widgets = {
            "name": forms.TextInput(attrs={"size": 60}),
            "description": forms.Textarea(attrs={"rows": 2, "cols": 80}),
            "queue": Suggested(attrs={"size": 30}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "queue" in self.fields:  # not in the form of those who only look
            self.fields["queue"].widget.suggestions = _Queues()
            self.fields["task"].choices = choices(self.instance.task)
            zone = timezone.get_current_timezone_name()
            self.fields["start_time"].help_text = f"In {zone}. Intervals are counted from it. Empty: now."
            self.fields["expires"].help_text = f"In {zone}. Empty: never."
        known = _initial(self.instance)
        # Of one that is new, what the address asks for goes before; the companion's priority before beat's own.
        self.initial: dict[str, Any] = {**self.initial, **known} if self.instance.pk else {**known, **self.initial}

    def is_valid(self) -> bool:
        """What is only looked at is not saved: the admin shows it again."""
        return super().is_valid() and PREVIEW not in self.data

    @cached_property
    def preview(self) -> Preview | None:
        """What the schedule would do; None while the form does not say when."""
        untimed = self.is_bound and set(TIMES) & set(self.errors)
        return None if untimed or not self.instance.scheduler else preview_of(self.instance)

    def clean_args(self) -> str:
        return _json(self.cleaned_data["args"] or "[]", list, 'a JSON array, as [1, "two"]')

    def clean_kwargs(self) -> str:
        return _json(self.cleaned_data["kwargs"] or "{}", dict, 'a JSON object, as {"name": 1}')

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("when") and data.get("zone"):
            self._retime(data)
        return data

    def validate_unique(self) -> None:
        """Of its name; that one kind of times is given is this form's to see to."""
        try:
            Model.validate_unique(self.instance, exclude=self._get_validation_exclusions())
        except ValidationError as error:
            self._update_errors(error)

    @property
    def given(self) -> Fields:
        """What the whole form says."""
        return replace(Fields(name="", task="", when="", headers=value_of(self.instance.headers, {})), **self._said())

    @property
    def changes(self) -> dict[str, Any]:
        """What it says otherwise than before."""
        names = {NAMED.get(name, name) for name in self.changed_data}
        return {name: value for name, value in self._said().items() if name in names}

    def _said(self) -> dict[str, Any]:
        data = {NAMED.get(name, name): value for name, value in self.cleaned_data.items()}
        data |= {"args": json.loads(data["args"]), "kwargs": json.loads(data["kwargs"]), "zone": str(data["zone"])}
        return {name: value for name, value in data.items() if name in NAMES}

    def _retime(self, data: Mapping[str, Any]) -> None:
        try:
            times = read(data["when"], zone=data["zone"], now=timezone.now())
        except InvalidSchedule as error:
            self.add_error("when", str(error))
            return
        for name, value in unsaved(times).items():
            setattr(self.instance, name, value)

    def _post_clean(self) -> None:
        super()._post_clean()
        self.instance.one_off = self.instance.one_off or bool(self.instance.clocked)
        if not self.errors:
            self._check()

    def _check(self) -> None:
        """As at every door: the times, the policies, and the call that the beat will make."""
        retimed = bool(TIMED & set(self.changed_data))
        try:
            check(self.given, now=timezone.now(), id_=self.instance.pk, retimed=retimed)
        except InvalidFields as error:
            for name, text in error.errors.items():
                field = SHOWN.get(name, name)
                self.add_error(field if field in self.fields else None, text)

    def _get_validation_exclusions(self) -> set[str]:
        # The priority is the companion's: beat's column of that name has other bounds.
        return super()._get_validation_exclusions() | {"priority"}


TIMES = ("when", "zone", "start_time", "expires", "one_off")
"""Fields that say when it is due."""
TIMED = {*TIMES, "enabled"}
NAMED = {"start_time": "starts_at", "expires": "ends_at"}
"""The form's names of fields, where they are others."""
SHOWN = {name: shown for shown, name in NAMED.items()}


class _Queues:
    """Names of the queues that there are, asked for when they are shown."""

    def __iter__(self) -> Any:
        return iter(Queue.objects.order_by("name").values_list("name", flat=True)[:200])


def _initial(task: PeriodicTask) -> dict[str, Any]:
    """What the form's own fields show of a periodic task."""
    site = timezone.get_default_timezone_name()
    if not task.pk:
        return {"zone": site}
    known = fields_of(task)
    times = recurrence_of(task)
    policy = {name: getattr(known, name) for name in POLICY}
    if times is None:
        return {**policy, "zone": site}
    zone = forecast.zone_of(times)
    here = Once(times.at.astimezone(zone)) if isinstance(times, Once) else times
    return {**policy, "when": text_of(here), "zone": str(zone)}


def _json(text: str, kind: type, expected: str) -> str:
    """The text, if it holds such a value."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise forms.ValidationError(f"This is no JSON: {error}. Expected {expected}.") from error
    if not isinstance(value, kind):
        raise forms.ValidationError(f"Expected {expected}.")
    return text
