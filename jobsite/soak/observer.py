"""Looks at the soak's database past the proxy: counts, leases, and in the end every row."""

from bisect import bisect_left
from contextlib import suppress

import psycopg

from . import effects
from .evidence import Row

WINDOW = 10.0
"""Seconds over which a rate is measured."""


class Observer:
    """A connection of its own that comes back after every restart; what can't be asked just now is None or empty."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection | None = None

    def ask(self, query: str) -> list[tuple]:
        """Raises psycopg.OperationalError while the database is away."""
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self._url, autocommit=True, application_name="soak", connect_timeout=5)
        cursor = self._connection.execute(query)
        return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def glance(self) -> tuple[int, int] | None:
        """(jobs that ended, jobs that have not), or None."""
        with suppress(psycopg.OperationalError):
            counts = self.ask(
                "SELECT count(*) FILTER (WHERE finished_at IS NOT NULL), count(*) FILTER (WHERE finished_at IS NULL)"
                " FROM jobs_job"
            )
            return counts[0][0], counts[0][1]
        return None

    def leases(self) -> list[tuple[str, str]]:
        """(broker queue, token) of every lease there is."""
        with suppress(psycopg.OperationalError):
            return [(key, str(token)) for key, token in self.ask("SELECT routing_key, token FROM jobs_lease")]
        return []

    def rows(self) -> dict[str, Row]:
        ends: dict[str, list[str]] = {}
        for job, end in self.ask('SELECT job_id::text, "end" FROM jobs_attempt ORDER BY job_id, epoch, number'):
            ends.setdefault(job, []).append(end)
        query = "SELECT id::text, state, attempt, retries, coalesce(max_retries, 0), strikes, epoch FROM jobs_job"
        rows = {}
        for job, state, attempt, retries, most, strikes, epoch in self.ask(query):
            rows[job] = Row(state, attempt, retries, most, strikes, tuple(ends.get(job, ())), epoch)
        return rows

    def effects(self) -> dict[str, tuple[int, ...]]:
        """The attempts, by job, of every effect that is in the database."""
        return {job: tuple(attempts) for job, attempts in self.ask(effects.SELECT)}

    def finished(self) -> list[float]:
        """When each ended job ended, seconds since 1970 by the database's clock, in order."""
        return [float(row[0]) for row in self.ask(_FINISHED)]


_FINISHED = (
    "SELECT extract(epoch FROM finished_at)::float8 FROM jobs_job WHERE finished_at IS NOT NULL ORDER BY finished_at"
)


def rate(finished: list[float], since: float, until: float) -> float:
    """Jobs a second that ended between two moments."""
    return (bisect_left(finished, until) - bisect_left(finished, since)) / (until - since)


def recovery(finished: list[float], at: float, *, share: float = 0.95, within: float = 30.0) -> tuple[float, float]:
    """(rate before a fault at `at`, seconds until the rate was back to `share` of it); inf: not `within` so many."""
    before = rate(finished, at - WINDOW, at)
    steps = int(within * 2) + 1
    for step in range(steps):
        since = at + step / 2
        if rate(finished, since, since + WINDOW) >= share * before:
            return before, step / 2
    return before, float("inf")
