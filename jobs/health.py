"""Whether the site can run jobs, as a list of named checks; every wait in here is bounded."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooSlow
from dataclasses import dataclass, field
from typing import Any

from celery import Celery, current_app
from django.db import Error

from . import queries

BROKER_TIMEOUT = 2.0
"""Seconds after which a broker that has not answered counts as away."""


@dataclass(frozen=True, slots=True)
class Check:
    """`detail` says what is wrong and what to do, empty when nothing is; a fatal one means no job can run at all."""

    name: str
    detail: str = ""
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class Health:
    checks: list[Check]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def failing(self) -> list[Check]:
        return [check for check in self.checks if check.detail]

    @property
    def status(self) -> str:
        """ok, degraded (jobs wait and nobody comes for them) or unavailable."""
        if any(check.fatal for check in self.failing):
            return "unavailable"
        return "degraded" if self.failing else "ok"


def look() -> Health:
    """Ask the database and the broker now."""
    broker = Check("broker", broker_problem(), fatal=True)
    try:
        missing = queries.unapplied_migrations()
        if missing:
            detail = f"Not applied: {', '.join(missing)}. Run `python3 manage.py migrate`."
            return Health([Check("database"), Check("migrations", detail, fatal=True), broker])
        facts = _facts()
    except Error as error:
        return Health([Check("database", f"The database does not answer: {_one_line(error)}", fatal=True), broker])
    return Health([Check("database"), Check("migrations"), broker, *_fleet(facts)], facts)


def _facts() -> dict[str, Any]:
    workers, waiting = queries.live_workers(), queries.waiting_queues()
    return {
        "dispatchers": queries.dispatchers(),
        "workers": {"alive": len(workers), "last_heartbeat_at": workers[0].heartbeat_at if workers else None},
        "pending": queries.pending(),
        "queues_waiting": waiting,
        "queues_unserved": queries.unserved(waiting, workers),
        "jobs_overdue": queries.has_overdue(),
    }


def _fleet(facts: dict[str, Any]) -> Iterator[Check]:
    """Whether jobs wait for a process that is not there; when none waits, nothing is wrong."""
    waits = facts["queues_waiting"] or facts["jobs_overdue"]
    yield Check("dispatcher", NO_DISPATCHER if waits and not facts["dispatchers"] else "")
    yield Check("workers", no_worker(facts["queues_unserved"]))


NO_DISPATCHER = "Jobs wait and no dispatcher is running: start `python3 manage.py dispatch` or `python3 manage.py up`."


def no_worker(queues: list[str]) -> str:
    """What to do about queues that have jobs and no worker; empty when there are none."""
    if not queues:
        return ""
    names = ", ".join(queues[:10]) + (f" and {len(queues) - 10} more" if len(queues) > 10 else "")
    start = "start `celery -A jobsite worker` or `python3 manage.py up`"
    return f"Jobs wait in {names}, which no live worker serves: {start}."


def broker_problem(timeout: float = BROKER_TIMEOUT) -> str:
    """Why the broker can't be reached, empty if it can. Returns within `timeout` seconds, whatever the network does."""
    asked = _asker.submit(_ask_broker, current_app._get_current_object())
    try:
        return asked.result(timeout)
    except TooSlow:
        asked.cancel()
        return f"The broker did not answer within {timeout:g} s."


# One thread: however often health is asked for while a broker hangs, one connection hangs with it.
_asker = ThreadPoolExecutor(1, thread_name_prefix="jobs-health")


def _ask_broker(app: Celery) -> str:
    options = {"socket_connect_timeout": 1, "socket_timeout": 1}
    with app.connection_for_write(connect_timeout=1, transport_options=options) as connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=1)
        # Each transport has its own errors, down to KeyError for an unknown scheme.
        except Exception as error:
            return f"The broker at {connection.as_uri()} does not answer: {_one_line(error)}"
    return ""


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
