"""PostgreSQL's time by statement, where the server has loaded pg_stat_statements."""

import re
from collections.abc import Mapping
from typing import Any

import psycopg

ABSENT = (
    "not measured: this PostgreSQL has not loaded pg_stat_statements (shared_preload_libraries = 'pg_stat_statements', "
    "then restart it), or the bench's user may not read it"
)
SHOWN = 15
NAMED = re.compile(r"\s*--\s*(\w+):")

Stats = Mapping[int, tuple[str, int, float]]
"""By query: its text, calls, milliseconds."""


class Statements:
    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        try:
            connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
            self.read()
            self.loaded = True
        except psycopg.Error:
            self.loaded = False

    def read(self) -> Stats:
        rows = self._connection.execute(
            "SELECT queryid, query, calls, total_exec_time FROM pg_stat_statements"
            " WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND queryid IS NOT NULL"
        )
        found: dict[int, tuple[str, int, float]] = {}
        for number, text, calls, spent in rows:
            before = found.get(number, (text, 0, 0.0))
            found[number] = (before[0], before[1] + calls, before[2] + spent)
        return found

    def before(self) -> Stats:
        return self.read() if self.loaded else {}

    def since(self, before: Stats, jobs: int) -> list[dict[str, Any]]:
        return difference(before, self.read(), jobs) if self.loaded else []


def difference(before: Stats, after: Stats, jobs: int) -> list[dict[str, Any]]:
    """The dearest statements between two looks."""
    rows: list[dict[str, Any]] = []
    for number, (text, calls, spent) in after.items():
        _, calls_before, spent_before = before.get(number, (text, 0, 0.0))
        if calls > calls_before:
            took = spent - spent_before
            rows.append(
                {
                    "statement": label(text),
                    "calls": calls - calls_before,
                    "ms": round(took, 1),
                    "us_per_job": round(took * 1000 / jobs, 1),
                }
            )
    return sorted(rows, key=lambda row: -row["ms"])[:SHOWN]


def label(text: str) -> str:
    """The name that the first line of an engine's statement gives, else its beginning."""
    named = NAMED.match(text)
    return named[1] if named else " ".join(text.split())[:60]
