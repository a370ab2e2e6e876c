"""`manage.py jobs list`: the same filters and query as the API, a table on a terminal, JSON where it is asked for."""

import json
from collections.abc import Iterable
from typing import Any, TextIO

from django.core.management.base import CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..listing import listed
from ..search import FILTERS, USUAL

WIDE = 140
"""Characters of a terminal that shows every column."""
NARROW = ("state", "task", "created", "id")
COLUMNS = ("state", "task", "queue", "priority", "attempts", "worker", "created", "took", "id")


def add_list(parser: CommandParser) -> None:
    parser.add_argument("-q", "--query", default="", help="as 'state:failed queue:mail args.user_id:42 created:>-24h'")
    for name in FILTERS:
        parser.add_argument(f"--{name.replace('_', '-')}", action="append", default=[], dest=name)
    parser.add_argument("--limit", type=int, default=USUAL, help="jobs of a page, at most 1,000")
    parser.add_argument("--offset", type=int, help="jobs to pass over")
    parser.add_argument("--page", type=int, help="pages of --limit jobs, from 1")
    parser.add_argument("--cursor", help="the next_cursor of the page before")
    parser.add_argument("--json", action="store_true", dest="as_json", help="one JSON document, as the API answers")


def listing(given: dict[str, Any], out: TextIO, talk: TextIO) -> None:
    """Print a page to `out`, and to `talk` how many there are. Raises InvalidSearch, SearchTooSlow."""
    places = {name: given[name] for name in ("limit", "offset", "page", "cursor")}
    page = listed({name: given[name] for name in FILTERS}, given["query"], **places)
    if given["as_json"]:
        out.write(json.dumps(page, cls=DjangoJSONEncoder, indent=2) + "\n")
        return
    rows = [_row(job) for job in page["jobs"]]
    if out.isatty():
        _table(rows, out)
    else:
        out.writelines(f"{line}\n" for line in _aligned([COLUMNS, *rows]))
    talk.write(_counted(page) + "\n")


def _table(rows: Iterable[tuple[str, ...]], out: TextIO) -> None:
    console = Console(file=out)
    shown = COLUMNS if console.width >= WIDE else NARROW
    table = Table(box=None, pad_edge=False)
    for name in shown:
        table.add_column(name, no_wrap=name != "task", overflow="fold")
    for row in rows:
        table.add_row(*(Text(row[COLUMNS.index(name)]) for name in shown))
    console.print(table)


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[place]) for row in rows) for place in range(len(COLUMNS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _row(job: dict[str, Any]) -> tuple[str, ...]:
    retries = "∞" if job["max_retries"] is None else job["max_retries"] + 1
    cells = (
        job["state"],
        f"{job['task']} · {job['name']}" if job["name"] else job["task"],
        job["queue"],
        job["priority"],
        f"{job['attempt']}/{retries}",
        job["worker"] or "–",
        f"{job['created_at']:%Y-%m-%d %H:%M}",
        "–" if job["duration"] is None else f"{job['duration']:.2f} s",
        job["id"],
    )
    # What a caller wrote must not steer the terminal of whoever looks.
    return tuple("".join(sign if sign.isprintable() else "�" for sign in str(cell)) for cell in cells)


def _counted(page: dict[str, Any]) -> str:
    about = "" if page["total_exact"] else "about "
    said = f"{len(page['jobs']):,} of {about}{page['total']:,} jobs."
    return said + (f" The next page: --cursor {page['next_cursor']}" if page["next_cursor"] else "")
