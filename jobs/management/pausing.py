"""`manage.py jobs pause`, `resume` and `pauses`."""

from argparse import ArgumentParser
from datetime import datetime, timedelta
from typing import Any

from ..engine import JobFilter, pause, resume
from ..engine.control import clock
from ..engine.pausing import KINDS
from ..errors import InvalidFilter
from ..models.pauses import Held
from ..pauses import pauses
from ..states import State
from .arguments import moment_of

COUNTED = 10_000
HELD = (State.PENDING, State.PAUSED)


def add_pauses(verbs: Any) -> dict[str, ArgumentParser]:
    """The parsers by verb."""
    parsers = {
        "pause": verbs.add_parser("pause", help="let no job of a queue, a task, a unique key or a tag start"),
        "resume": verbs.add_parser("resume", help="let them go again"),
        "pauses": verbs.add_parser("pauses", help="list what is paused, since when and why"),
    }
    for name in ("pause", "resume"):
        parsers[name].add_argument("kind", choices=KINDS)
        parsers[name].add_argument("what", help="the whole name; of a tag NAME or NAME=VALUE")
        parsers[name].add_argument("--reason", default="", help="kept in the audit log")
    parsers["pause"].add_argument("--until", type=moment_of, help="ISO 8601, or from now: 90s, 30m, 2h, 7d")
    return parsers


def paused(*, kind: str, what: str, reason: str, until: datetime | timedelta | None, **_: Any) -> str:
    """Pause it; returns the sentence to print. Raises InvalidPause."""
    end = moment(until)
    pause(kind, what, actor="manage.py jobs pause", reason=reason, until=end)
    ends = f" until {end:%Y-%m-%d %H:%M:%S %Z}" if end else ""
    return f"{kind} {what} is paused{ends}; {_waiting(kind, what)} Jobs that workers have are finished."


def resumed(*, kind: str, what: str, reason: str, **_: Any) -> str:
    """Resume it; returns the sentence to print, "" if it was not paused. Raises InvalidPause."""
    return f"{kind} {what} goes on." if resume(kind, what, actor="manage.py jobs resume", reason=reason) else ""


def listed() -> list[str]:
    """A line for each pause."""
    return [
        f"{pause.kind} {pause.what}, since {pause.at:%Y-%m-%d %H:%M:%S %Z}"
        + (f" until {pause.until:%Y-%m-%d %H:%M:%S %Z}" if pause.until else "")
        + (f" by {pause.by}" if pause.by else "")
        + f": {pause.reason or 'no reason given'}"
        for pause in pauses()
    ]


def moment(given: datetime | timedelta | None) -> datetime | None:
    """A span counts from now, by the database's clock. Raises InvalidFilter for one that ends beyond the year 9999."""
    try:
        return clock() + given if isinstance(given, timedelta) else given
    except OverflowError as error:
        raise InvalidFilter(f"{given} from now is beyond the year 9999.") from error


def _waiting(kind: str, what: str) -> str:
    """How many jobs it holds now: a name with a slip of the pen holds none."""
    name, given, value = what.partition("=")
    match kind:
        case Held.TASK:
            which = JobFilter(task=what, states=HELD)
        case Held.TAG if given:
            which = JobFilter(tags={name: value}, states=HELD)
        case "queue":
            which = JobFilter(queue=what, states=HELD)
        case _:
            return "its jobs are set aside as their turn comes."
    count = which.jobs().values("pk")[: COUNTED + 1].count()
    return f"{f'more than {COUNTED:,}' if count > COUNTED else f'{count:,}'} of its jobs wait now."
