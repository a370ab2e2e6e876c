"""`manage.py jobs schedules`: look at schedules, and run, pause, resume and backfill them."""

from argparse import ArgumentParser
from collections.abc import Callable
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand

from jobs.errors import InvalidPause
from jobs.management.arguments import moment_of, seconds

from ..errors import InvalidSchedule, ScheduleNotFound
from . import acting, showing

USAGE, NOT_FOUND = 2, 3
"""Exit codes, as those of the other verbs."""
SPAN = "ISO 8601, or a span back from now: 90m, 24h, 7d"


def add(verbs: Any, command: BaseCommand) -> None:
    """The verb `schedules` with verbs of its own."""
    schedules = verbs.add_parser("schedules", help="look at schedules, and run, pause, resume and backfill them")
    own = schedules.add_subparsers(dest="action", required=True)
    parsers = {
        "list": own.add_parser("list", help="a table of schedules with their next and last runs"),
        "show": own.add_parser("show", help="everything about one schedule, with its latest occurrences"),
        "preview": own.add_parser("preview", help="the next runs of a schedule, or of a text such as '0 8 * * mon'"),
        "run": own.add_parser("run", help="run a schedule once, now; prints the id of its job"),
        "pause": own.add_parser("pause", help="let a schedule fire no more"),
        "resume": own.add_parser("resume", help="let it fire again"),
        "backfill": own.add_parser("backfill", help="run its due times of a past range that have no run yet"),
    }
    for name in ("show", "run", "pause", "resume", "backfill"):
        parsers[name].add_argument("schedule", help="its id or its name")
    _add_looks(parsers)
    _add_deeds(parsers)
    for name, parser in parsers.items():
        parser.set_defaults(does=partial(_do, command, DOES[name]))


def _add_looks(parsers: dict[str, ArgumentParser]) -> None:
    for name in ("list", "show", "preview", "backfill"):
        parsers[name].add_argument("--json", action="store_true", dest="as_json")
    parsers["list"].add_argument("--name", default="", help="a part of it")
    parsers["list"].add_argument("--task")
    parsers["preview"].add_argument("what", help="id or name of a schedule, or a text")
    parsers["preview"].add_argument("--zone", help="of a text, as Europe/Berlin; the site's unless given")
    parsers["preview"].add_argument("--count", type=int, default=10)


def _add_deeds(parsers: dict[str, ArgumentParser]) -> None:
    for name in ("run", "pause", "resume", "backfill"):
        parsers[name].add_argument("--reason", default="", help="kept in the audit log")
    parsers["pause"].add_argument("--until", type=moment_of, help="ISO 8601, or from now: 90s, 30m, 2h, 7d")
    backfill = parsers["backfill"]
    backfill.add_argument("--from", type=moment_of, dest="start", required=True, help=SPAN)
    backfill.add_argument("--to", type=moment_of, dest="end", help=f"{SPAN}; now unless given")
    backfill.add_argument("--cap", type=int, default=100, help="run so many at most, the earliest first")
    backfill.add_argument("--spread", type=seconds, default=0.0, help="seconds over which they start")
    backfill.add_argument("--dry-run", action="store_true", help="say what would run, and run nothing")


def _do(command: BaseCommand, does: Callable[..., int], **options: Any) -> int:
    try:
        return does(command, **options)
    except ScheduleNotFound as error:
        command.stderr.write(str(error))
        return NOT_FOUND
    except (InvalidSchedule, InvalidPause) as error:
        command.stderr.write(str(error))
        return USAGE


DOES: dict[str, Callable[..., int]] = {
    "list": showing.listed,
    "show": showing.shown,
    "preview": showing.previewed,
    "run": acting.run,
    "pause": acting.paused,
    "resume": acting.resumed,
    "backfill": acting.backfilled,
}
