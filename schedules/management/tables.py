"""Tables: drawn on a terminal, elsewhere a line for each row with tabs between, for other programs."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text


def write(stream: Any, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    lines = [[cell(value) for value in row] for row in rows]
    if not stream.isatty():
        for line in lines:
            stream.write("\t".join(line))
        return
    table = Table(*heads, box=box.SIMPLE_HEAD, pad_edge=False)
    for line in lines:
        table.add_row(*map(Text, line))
    Console(file=stream).print(table)


def cell(value: Any) -> str:
    """One line, and nothing that a terminal obeys."""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    text = "" if value is None else str(value)
    return "".join(letter if letter.isprintable() else " " for letter in text)
