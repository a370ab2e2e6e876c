"""The verbs of `manage.py jobs schedules` that only look."""

import json
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand
from django.core.serializers.json import DjangoJSONEncoder

from .. import forecast, queries
from ..errors import InvalidSchedule, ScheduleNotFound
from . import tables

HISTORY = 20
"""Occurrences that `show` tells of."""
MOST = 10_000
HEADS = ("id", "name", "when", "zone", "state", "next run", "last run", "status")
PAST = ("due", "state", "kind", "late", "job", "status", "reason")
UNSAID = ("id", "last_run", "paused")
"""Of a schedule: told in other words."""


def listed(command: BaseCommand, *, name: str, task: str | None, as_json: bool, **_: Any) -> int:
    found = _all(name, task)
    if as_json:
        return write_json(command, list(found))
    tables.write(command.stdout, HEADS, map(_line, found))
    return 0


def shown(command: BaseCommand, *, schedule: str, as_json: bool, **_: Any) -> int:
    task = queries.find(schedule)
    said, past = queries.describe(task), queries.history(task.pk, limit=HISTORY).rows
    if as_json:
        return write_json(command, {**said, "occurrences": past})
    tables.write(command.stdout, ("schedule", str(task.pk)), _told(said))
    tables.write(command.stdout, PAST, map(_past, past))
    return 0


def previewed(command: BaseCommand, *, what: str, zone: str | None, count: int, as_json: bool, **_: Any) -> int:
    if not 1 <= count <= MOST:
        raise InvalidSchedule(f"{count} runs can't be shown. Expected 1 to {MOST:,}.")
    found = _forecast(what, zone, count)
    runs = [{"at": due.at, "dst": due.dst} for due in found.dues]
    if as_json:
        return write_json(command, {"words": found.words, "timezone": found.zone.key, "runs": runs})
    command.stdout.write(f"{tables.cell(found.words)}; times in {found.zone}")
    lines = ((f"{due.at:%a %Y-%m-%d %H:%M:%S %z}", MET.get(due.dst or "", "")) for due in found.dues)
    tables.write(command.stdout, ("next run", "clock"), lines)
    return 0


MET = {
    "gap": "the clock skips ahead to it",
    "overlap": "the clock shows this time twice; it runs the first time",
}


def write_json(command: BaseCommand, value: Any) -> int:
    command.stdout.write(json.dumps(value, cls=DjangoJSONEncoder, indent=2))
    return 0


def _all(name: str, task: str | None) -> Iterator[dict[str, Any]]:
    after: int | None = 0
    while after is not None:
        page = queries.page(queries.chosen(q=name, task=task), after=after, limit=1000)
        yield from page.rows
        after = page.next_cursor


def _line(one: dict[str, Any]) -> tuple[Any, ...]:
    status = (one["last_run"] or {}).get("job_status")
    state = f"{one['state']}, error" if one["error"] else one["state"]
    return (
        *(one["id"], one["name"], one["when"], one["timezone"]),
        *(state, one["next_run_at"], one["last_run_at"], status),
    )


def _told(said: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What there is to say, a line for each."""
    for name, value in said.items():
        if name not in UNSAID and value not in (None, "", [], {}):
            plain = isinstance(value, list | dict)
            yield name, json.dumps(value, cls=DjangoJSONEncoder) if plain else value
    if pause := said["paused"]:
        until = f" until {tables.cell(pause['until'])}" if pause["until"] else ""
        yield (
            "paused",
            f"since {tables.cell(pause['at'])}{until} by {pause['by']}: {pause['reason'] or 'no reason given'}",
        )


def _past(one: dict[str, Any]) -> tuple[Any, ...]:
    due = one["due_at"] if one["count"] == 1 else f"{tables.cell(one['due_at'])} and {one['count'] - 1} more"
    return due, one["state"], one["kind"], f"{one['late']:.1f} s", one["job_id"], one["job_status"], one["reason"]


def _forecast(what: str, zone: str | None, count: int) -> forecast.Forecast:
    """Of a text, if it is none that could be a name."""
    if what.startswith("@") or len(what.split()) == 5:
        return forecast.of_text(what, zone=zone, count=count)
    try:
        return forecast.of_task(queries.find(what), count=count)
    except ScheduleNotFound:
        if len(what.split()) < 2:
            raise
        # More likely a text with a slip of the pen, which this tells.
        return forecast.of_text(what, zone=zone, count=count)
