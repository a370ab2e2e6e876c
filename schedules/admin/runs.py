"""The occurrences of schedules as lists and pages show them."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.urls import reverse
from django.utils.html import format_html, format_html_join

from jobs.admin import shown
from jobs.states import FINAL, State

from ..policy import failures_in_a_row
from ..sql import rows
from ..states import Decided, Kind

SHOWN = 20
"""Occurrences of a strip."""
FAILED = (State.FAILED, State.DEAD_LETTER)


class Run(NamedTuple):
    """An occurrence and its job, as `latest` returns them."""

    schedule: int
    id: int
    due_at: datetime
    last_due_at: datetime | None
    times: int
    kind: str
    state: str
    reason: str
    job_id: UUID | None
    run_at: datetime | None
    decided_at: datetime
    actor: str
    job_state: str | None
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None

    @property
    def outcome(self) -> str:
        """The state of its job, while there is one; else what was decided."""
        return self.job_state or self.state

    @property
    def late(self) -> float:
        """Seconds from its time to the decision."""
        return max(0.0, (self.decided_at - (self.last_due_at or self.due_at)).total_seconds())

    @property
    def told(self) -> str:
        """In one line of plain text."""
        count = f" ({self.times:,} times)" if self.times > 1 else ""
        asked = f", {self.kind} by {self.actor}" if self.kind != Kind.SCHEDULE else ""
        why = shown.first_line(self.reason or (self.error if self.job_state in FAILED else ""))
        return f"{self.due_at:%Y-%m-%d %H:%M:%S} UTC{count}: {_words(self.outcome)}{asked}{f': {why}' if why else ''}"


def latest(ids: Sequence[int], *, most: int = SHOWN, before: int | None = None) -> dict[int, list[Run]]:
    """By schedule, the latest first; one query for all of them."""
    found: dict[int, list[Run]] = {id_: [] for id_ in ids}
    for row in rows("latest", ids=list(ids), most=most, before=before) if ids else []:
        found[row[0]].append(Run(*row))
    return found


def strip(runs: Sequence[Run]) -> str:
    """A bar for each, the latest on the right; what it says is in the titles, and once in words."""
    if not runs:
        return format_html('<span class="quiet">{}</span>', "no runs yet")
    counted = ", ".join(f"{count} {_words(outcome)}" for outcome, count in Counter(one.outcome for one in runs).items())
    bars = format_html_join(
        "", '<i class="sched-bar sched-{}" title="{}"></i>', ((one.outcome, one.told) for one in reversed(runs))
    )
    said = f"The latest {len(runs)}: {counted}"
    return format_html('<span class="sched-strip" role="img" aria-label="{}">{}</span>', said, bars)


def last(runs: Sequence[Run], *, linked: bool) -> str:
    """The latest run that has a job: its state, when, and a link to it."""
    run = next((one for one in runs if one.job_id is not None), None)
    if run is None:
        return ""
    return format_html("{} {}", job_link(run, badge(run), linked=linked), shown.ago(run.due_at))


def job_link(run: Run, text: str, *, linked: bool) -> str:
    if run.job_id is None or run.job_state is None or not linked:
        return text
    return format_html('<a href="{}">{}</a>', reverse("admin:jobs_job_change", args=[run.job_id]), text)


def badge(run: Run) -> str:
    if run.job_state is not None:
        return shown.badge(run.job_state)
    kind, icon = MARKS.get(run.state, ("pending", "·"))
    return shown.mark(kind, icon, _words(run.state))


MARKS: dict[str, tuple[str, str]] = {
    Decided.FIRED: ("completed", "✓"),
    Decided.SKIPPED: ("paused", "⊘"),
    Decided.MISSED: ("failed", "!"),
    Decided.WAITING: ("pending", "◷"),
}


def failing(runs: Sequence[Run]) -> int:
    """Failed jobs in a row, the latest of those that are over."""
    states = [State(one.job_state) for one in runs if one.job_state is not None]
    return failures_in_a_row([state if state in FINAL else None for state in states])


def row(run: Run, *, linked: bool) -> dict[str, object]:
    """What the table of a page shows of one."""
    return {
        "due": shown.moment(run.due_at),
        "until": shown.moment(run.last_due_at) if run.last_due_at else "",
        "count": run.times,
        "decided": shown.ago(run.decided_at),
        "late": f"{run.late:.1f} s" if run.late < 60 else shown.rough(run.late),
        "kind": run.kind,
        "actor": run.actor,
        "state": badge(run),
        "decision": _words(run.state),
        "reason": shown.first_line(run.reason, 300),
        "error": shown.first_line(run.error, 200) if run.job_state in FAILED else "",
        "job": job_link(run, f"…{str(run.job_id)[-12:]}", linked=linked) if run.job_id else "–",
        "took": shown.duration(run.started_at, run.finished_at),
    }


def _words(outcome: str) -> str:
    return shown.LABELS.get(outcome, outcome.replace("_", " "))
