"""One form for a schedule: django-celery-beat's rows and the policies beside them, in plain words."""

import inspect
import json
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from celery import current_app
from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.utils import timezone
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule

from jobs.errors import JobsError, UnknownTask
from jobs.models import Queue
from jobs.submit import task_names

from ..calls import Call, tasks
from ..code import POLICY
from ..errors import InvalidSchedule
from ..models import Schedule
from ..recurrence import Cron, Every, Once, Recurrence, Solar
from ..standing import Standing
from ..texts import read, text_of
from ..times import FIELDS, SECONDS, recurrence, times_of
from .fields import Moment, Suggested, ZoneField
from .policy_fields import PolicyFields
from .preview import Preview, preview_of, zone_of

PREVIEW = "_preview"
"""Name of the button that shows what the form would do."""
LONGEST = 110
"""Characters of a task's signature in the list of tasks."""


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
        self.times: Recurrence | None = None
        """What it says of the times, if that is new."""
        if "queue" in self.fields:  # not in the form of those who only look
            self.fields["queue"].widget.suggestions = _Queues()
            self.fields["task"].choices = _choices(self.instance.task)
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
        if data.get("when") and data.get("zone") and self._is_retimed():
            self._retime(data)
        if data.get("expires") and data.get("start_time") and data["expires"] <= data["start_time"]:
            self.add_error("expires", "It would end before it starts.")
        self._check_policy(data)
        return data

    def validate_unique(self) -> None:
        """Of its name; that one kind of times is given is this form's to see to."""
        try:
            Model.validate_unique(self.instance, exclude=self._get_validation_exclusions())
        except ValidationError as error:
            self._update_errors(error)

    @property
    def policy(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in POLICY}

    def changes(self, *, edits: bool) -> dict[str, Any]:
        """What the audit keeps: of an edit what each field was, and what it is."""
        new = {name: _plain(self.cleaned_data.get(name)) for name in self.changed_data}
        if not edits:
            return new
        return {name: {"from": _plain(self.initial.get(name)), "to": value} for name, value in new.items()}

    def _is_retimed(self) -> bool:
        """Rows that say so already are kept, with whatever else uses them."""
        return not self.instance.scheduler or bool({"when", "zone"} & set(self.changed_data))

    def _retime(self, data: Mapping[str, Any]) -> None:
        now = timezone.now()
        try:
            times = read(data["when"], zone=data["zone"], now=now)
        except InvalidSchedule as error:
            self.add_error("when", str(error))
            return
        if isinstance(times, Once) and times.at <= now:
            self.add_error("when", f"{data['when']!r} has passed. Give a moment to come; “Run now” runs it at once.")
            return
        self.times = times
        for name, value in _rows(times).items():
            setattr(self.instance, name, value)

    def _post_clean(self) -> None:
        super()._post_clean()
        self.instance.one_off = self.instance.one_off or bool(self.instance.clocked)
        # Both are policies of the companion here; a schedule has one place for each.
        self.instance.priority = self.instance.expire_seconds = None
        if not set(TIMES) & set(self.errors):
            self._look_ahead()
        if not self.errors:
            self._check_call()

    def _check_policy(self, data: Mapping[str, Any]) -> None:
        known = {name: data[name] for name in POLICY if name in data}
        others = [column.name for column in Schedule._meta.fields if column.name not in known]
        try:
            Schedule(**known).full_clean(exclude=others, validate_constraints=False)
        except ValidationError as error:
            self.add_error(None, error)

    def _get_validation_exclusions(self) -> set[str]:
        # The priority is the companion's: beat's column of that name has other bounds.
        return super()._get_validation_exclusions() | {"priority"}

    def _look_ahead(self) -> None:
        """Refuse an edit after which nothing would ever be due."""
        edited = {*TIMES, "enabled"} & set(self.changed_data)
        found = self.preview
        if edited and self.instance.enabled and found is not None and not found.dues:
            field = "expires" if self.instance.expires else "when"
            self.add_error(field, "Nothing would be due any more." if found.is_valid else found.words)

    def _check_call(self) -> None:
        """The beat's own check of the call that it will make."""
        columns = {
            name: getattr(self.instance, name) for name in ("name", "task", "args", "kwargs", "headers", "queue")
        }
        policy = {**self.policy, "tags": json.dumps(self.policy["tags"]) if self.policy["tags"] else None}
        standing = dict.fromkeys(Standing._fields) | columns | policy | {"id": self.instance.pk or 0}
        try:
            Call(current_app._get_current_object(), Standing(**standing), None, timezone.now())
        except JobsError as error:
            self.add_error(self._field_of(error), str(error))

    def _field_of(self, error: JobsError) -> str | None:
        if isinstance(error, UnknownTask):
            return "task"
        named = re.match(r"The (?:job|schedule)'s (\w+)", str(error))
        field = getattr(error, "field", named[1] if named else None)
        return field if field in self.fields else None


TIMES = ("when", "zone", "start_time", "expires", "one_off")
"""Fields that say when it is due."""
CALL = ("name", "task", "args", "kwargs", "headers", "queue")
"""Columns of the periodic task that say what is called."""


class _Queues:
    """Names of the queues that there are, asked for when they are shown."""

    def __iter__(self) -> Any:
        return iter(Queue.objects.order_by("name").values_list("name", flat=True)[:200])


def signature_of(name: str) -> str:
    """As `(url, *, timeout=20)`; empty for a task that this process does not know."""
    task = tasks(current_app._get_current_object()).get(name)
    try:
        return str(inspect.signature(task.run)) if task is not None else ""
    except (TypeError, ValueError):
        return ""


def _choices(current: str) -> list[tuple[str, str]]:
    registry = tasks(current_app._get_current_object())
    names = [name for name in task_names() if getattr(registry[name], "track", True)]
    found = [("", "---------"), *((name, _label(name)) for name in names)]
    return (
        found if not current or current in names else [*found, (current, f"{current} (no task that is tracked here)")]
    )


def _label(name: str) -> str:
    signature = signature_of(name)
    return f"{name} {signature if len(signature) <= LONGEST else f'{signature[:LONGEST]}…'}"


def _initial(task: PeriodicTask) -> dict[str, Any]:
    """What the form's own fields show of a periodic task."""
    if not task.pk:
        return {"zone": timezone.get_default_timezone_name()}
    companion = task.companion
    policy = {name: getattr(companion, name) for name in POLICY}
    if policy["priority"] is None:
        policy["priority"] = task.priority
    if policy["expires_after"] is None:
        policy["expires_after"] = task.expire_seconds
    return {**policy, **_said(task)}


def _said(task: PeriodicTask) -> dict[str, Any]:
    try:
        times = recurrence(times_of(task, timezone.now()))
    except InvalidSchedule:
        return {"zone": timezone.get_default_timezone_name()}
    zone = zone_of(times)
    return {"when": text_of(Once(times.at.astimezone(zone)) if isinstance(times, Once) else times), "zone": zone}


def _rows(times: Recurrence) -> dict[str, Any]:
    """Rows that say so, unsaved: to look at, until `times.store` finds or makes them."""
    rows: dict[str, Any] = {"interval": None, "crontab": None, "solar": None, "clocked": None}
    match times:
        case Every():
            period = next(name for name, seconds in SECONDS.items() if times.seconds % seconds == 0)
            return rows | {"interval": IntervalSchedule(every=times.seconds // SECONDS[period], period=period)}
        case Once():
            return rows | {"clocked": ClockedSchedule(clocked_time=times.at)}
        case Solar():
            place = {"latitude": times.latitude, "longitude": times.longitude}
            return rows | {"solar": SolarSchedule(event=times.event, **place)}
        case Cron():
            fields = {name: getattr(times, name) for name in FIELDS}
            return rows | {"crontab": CrontabSchedule(**fields, timezone=times.zone)}
    raise InvalidSchedule(f"There are no rows for {times!r}.")


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float | dict) else str(value)


def _json(text: str, kind: type, expected: str) -> str:
    """The text, if it holds such a value."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise forms.ValidationError(f"This is no JSON: {error}. Expected {expected}.") from error
    if not isinstance(value, kind):
        raise forms.ValidationError(f"Expected {expected}.")
    return text
