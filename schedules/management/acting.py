"""The verbs of `manage.py jobs schedules` that do something."""

from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand

from jobs.engine.control import clock
from jobs.management.pausing import moment

from .. import queries, verbs
from ..errors import InvalidSchedule, ScheduleNotFound
from .showing import write_json
from .tables import cell

REFUSED = 4
ME = "python3 manage.py jobs"


def run(command: BaseCommand, *, schedule: str, reason: str, **_: Any) -> int:
    task = queries.find(schedule)
    for ran in verbs.run_now([task.pk], reason=reason, actor=actor("run")):
        if ran.refused:
            command.stderr.write(ran.refused)
            return REFUSED
        command.stdout.write(str(ran.job_id) if ran.job_id else f"{task.task} is called; no job stands for it.")
        if ran.job_id:
            command.stderr.write(f"Follow it: {ME} wait {ran.job_id}")
        return 0
    raise ScheduleNotFound(schedule)


def paused(command: BaseCommand, *, schedule: str, reason: str, until: datetime | timedelta | None, **_: Any) -> int:
    task, end = queries.find(schedule), moment(until)
    if not verbs.pause([task.pk], reason=reason, until=end, actor=actor("pause")):
        raise ScheduleNotFound(schedule)
    ends = f" until {end:%Y-%m-%d %H:%M:%S %Z}" if end else f"; resume it: {ME} schedules resume {task.pk}"
    command.stdout.write(f"Schedule {task.pk} ({cell(task.name)}) is paused{ends}")
    return 0


def resumed(command: BaseCommand, *, schedule: str, reason: str, **_: Any) -> int:
    task = queries.find(schedule)
    if not verbs.resume([task.pk], reason=reason, actor=actor("resume")):
        command.stderr.write(f"Schedule {task.pk} ({cell(task.name)}) is not paused.")
        return REFUSED
    next_run = queries.next_run(queries.find(task.pk))
    goes_on = f"its next run is at {cell(next_run)} UTC" if next_run else "it has no next run"
    command.stdout.write(f"Schedule {task.pk} ({cell(task.name)}) is not paused any more; {goes_on}.")
    return 0


def backfilled(
    command: BaseCommand,
    *,
    schedule: str,
    start: datetime | timedelta,
    end: datetime | timedelta | None,
    cap: int,
    dry_run: bool,
    as_json: bool,
    **given: Any,
) -> int:
    task, now = queries.find(schedule), clock()
    done = verbs.backfill(
        task.pk,
        start=_back(start, now),
        end=_back(end or timedelta(), now),
        cap=cap,
        dry_run=dry_run,
        spread=given["spread"],
        reason=given["reason"],
        actor=actor("backfill"),
    )
    known = set(done.existing)
    left = [due for due in done.due if due not in known]
    if as_json:
        said = {"due": done.due, "existing": done.existing, "job_ids": done.made, "more": done.more}
        return write_json(command, {"dry_run": dry_run, "would_run": left[:cap] if dry_run else [], **said})
    _tell(command, done, left, cap if dry_run else None)
    return 0


def actor(verb: str) -> str:
    return f"manage.py jobs schedules {verb}"


def _tell(command: BaseCommand, done: verbs.Backfilled, left: list[datetime], cap: int | None) -> None:
    """`cap`: of a dry run."""
    if cap is not None:
        for due in left[:cap]:
            command.stdout.write(cell(due))
    made = len(done.made) if cap is None else len(left[:cap])
    did = f"{made:,} run now" if cap is None else f"{made:,} would run. Nothing was changed"
    more = " The range holds more than were looked at: give a shorter one." if done.more else ""
    command.stdout.write(f"{len(done.due):,} due, {len(done.existing):,} have a run already, {did}.{more}")


def _back(given: datetime | timedelta, now: datetime) -> datetime:
    """A span counts back from now. Raises InvalidSchedule."""
    try:
        return now - given if isinstance(given, timedelta) else given
    except OverflowError as error:
        raise InvalidSchedule(f"{given} before now is before the year 1.") from error
