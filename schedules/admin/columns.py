"""What the list and a page say of one schedule."""

from datetime import timedelta, tzinfo
from typing import Any

from django.contrib import admin
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django_celery_beat.models import PeriodicTask

from jobs.admin import shown

from .. import forecast
from ..code import POLICY
from ..errors import InvalidSchedule
from ..models import Schedule
from ..recurrence import Recurrence
from ..states import Owner
from ..texts import span, text_of
from ..times import recurrence, times_of
from . import runs
from .policy_fields import LABELS, SPANS, WORDS
from .preview import stamp
from .tasks import signature_of

LATE = timedelta(seconds=10)
"""After which a due time that nobody has looked at is called late."""


class ScheduleColumns:
    """Columns and fields; each is computed from the row, its companion and its latest runs."""

    @admin.display(description="name", ordering="name")
    def label(self, task: PeriodicTask) -> str:
        """The name, and the task below it."""
        return format_html('{}<div class="quiet">{}</div>', shown.first_line(task.name, 80), task.task)

    @admin.display(description="state")
    def marks(self, task: PeriodicTask) -> str:
        return format_html_join("", '<div class="sched-mark">{}</div>', ((mark,) for mark in marks_of(task)))

    @admin.display(description="when")
    def when(self, task: PeriodicTask) -> str:
        try:
            times = times_in(task)
        except InvalidSchedule as error:
            return shown.mark("failed", "✕", str(error))
        words, _, zone = times.describe().partition(" (")
        return format_html(
            '{}<div class="quiet"><code>{}</code> {}</div>', words, text_of(times), zone.rstrip(")") or ""
        )

    @admin.display(description="last 20 runs")
    def strip(self, task: PeriodicTask) -> str:
        """The strip, and the latest run with its job below it."""
        last = runs.last(recent(task), linked=getattr(task, "links_jobs", False))
        return format_html("{}<div>{}</div>", runs.strip(recent(task)), last)

    @admin.display(description="next run", ordering="companion__next_run_at")
    def next_run(self, task: PeriodicTask) -> str:
        at, companion = task.companion.next_run_at, task.companion
        if not companion.active or companion.is_paused:
            return "–"
        if at is None:
            return format_html('<span class="quiet">{}</span>', "being computed")
        return format_html('{}<div class="quiet">{}</div>', shown.ago(at), stamp(at, zone_in(task)))

    @admin.display(description="queue", ordering="queue")
    def place(self, task: PeriodicTask) -> str:
        """The queue, and the owner below it."""
        return format_html('{}<div class="quiet">{}</div>', task.queue or "–", owner_of(task.companion))

    @admin.display(description="owner")
    def owner(self, task: PeriodicTask) -> str:
        return owner_of(task.companion)

    @admin.display(description="task")
    def call(self, task: PeriodicTask) -> str:
        return f"{task.task} {signature_of(task.task)}".strip()

    @admin.display(description="args")
    def args_json(self, task: PeriodicTask) -> str:
        return shown.pretty(task.args)

    @admin.display(description="keyword args")
    def kwargs_json(self, task: PeriodicTask) -> str:
        return shown.pretty(task.kwargs)

    @admin.display(description="start")
    def starts(self, task: PeriodicTask) -> str:
        return shown.moment(task.start_time)

    @admin.display(description="end")
    def ends(self, task: PeriodicTask) -> str:
        return shown.moment(task.expires)

    @admin.display(description="policies")
    def policies(self, task: PeriodicTask) -> str:
        """All of them, as their form names them."""
        said = [(_label(name), _said(name, getattr(task.companion, name))) for name in POLICY]
        lines = format_html_join("", "<dt>{}</dt><dd>{}</dd>", said)
        return format_html('<dl class="sched-policies">{}</dl>', lines)


def recent(task: PeriodicTask) -> list[runs.Run]:
    """Its latest runs: of the whole list at once, or read now."""
    known: list[runs.Run] | None = getattr(task, "recent_runs", None)
    if known is None:
        known = task.recent_runs = runs.latest([task.pk])[task.pk]
    return known


def times_in(task: PeriodicTask) -> Recurrence:
    """Raises InvalidSchedule."""
    return recurrence(times_of(task, task.companion.anchor_at))


def zone_in(task: PeriodicTask) -> tzinfo:
    """The zone in which it is shown."""
    try:
        return forecast.zone_of(times_in(task))
    except InvalidSchedule:
        return timezone.get_default_timezone()


def marks_of(task: PeriodicTask) -> list[str]:
    """How it stands: what is wrong comes after what somebody decided."""
    companion = task.companion
    found = [_standing(task, companion)]
    due = companion.retry_at or companion.next_run_at
    if companion.active and not companion.is_paused and due is not None and due < timezone.now() - LATE:
        overdue = (timezone.now() - due).total_seconds()
        found.append(shown.mark("failed", "!", f"late: {shown.rough(overdue)} overdue"))
    if failures := runs.failing(recent(task)):
        found.append(shown.mark("failed", "✕", f"failing: {failures} in a row" if failures > 1 else "last run failed"))
    if companion.error:
        found.append(shown.mark("failed", "✕", f"in error: {shown.first_line(companion.error)}"))
    return found


def _standing(task: PeriodicTask, companion: Schedule) -> str:
    if companion.is_paused:
        until = format_html(", until {}", shown.ago(companion.paused_until)) if companion.paused_until else ""
        why = f": {shown.first_line(companion.paused_reason)}" if companion.paused_reason else ""
        by = companion.paused_by or "somebody"
        return format_html("{} by {}{}{}", shown.mark("paused", "❚❚", "paused"), by, why, until)
    if not task.enabled:
        return shown.mark("expired", "■", "disabled")
    if not companion.active:
        return shown.mark("completed", "✓", "over")
    return shown.mark("running", "▶", "enabled")


def owner_of(companion: Schedule) -> str:
    if companion.managed_by != Owner.CODE:
        return "people"
    if companion.withdrawn:
        return "code that is gone"
    return "code, editable" if companion.editable else "code"


def is_fixed(companion: Schedule) -> bool:
    """Whether it stays as code declares it, whatever people write."""
    return companion.managed_by == Owner.CODE and not companion.editable and not companion.withdrawn


def _label(name: str) -> str:
    return LABELS.get(name, name.replace("_", " ").capitalize())


def _said(name: str, value: Any) -> str:
    if value is None or value == "":
        return "–"
    if name in WORDS:
        return dict(WORDS[name]).get(value, value)
    if name in SPANS:
        return span(int(value)) if value == int(value) else f"{value:g}s"
    return shown.pretty_value(value) if name == "tags" else str(value)
