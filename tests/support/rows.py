"""Rows of the engine in any state, for tests of those who only read them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from django.db import connection
from kombu.utils.json import dumps

from jobs.models import Attempt, Job
from jobs.states import FINAL, LEASED

JSON_COLUMNS = frozenset({"args", "kwargs", "options", "result", "progress", "tags"})
"""Given as Python values, None is NULL."""


def make_job(**columns: Any) -> UUID:
    """Insert a job in any `state` (default pending), with what its constraints ask for. Returns its id."""
    now = datetime.now(UTC)
    state = columns.get("state", "pending")
    started = state in FINAL - {"expired", "cancelled"} or state == "running"
    row = {
        "id": uuid4(),
        "task": "tests.support.tasks.add",
        "queue": "default",
        "state": state,
        "priority": 10,
        "rank": 0,
        "ready_at": now,
        "args": [],
        "kwargs": {},
        "max_retries": 0,
        "attempt": int(started or state == "retrying"),
        "lease": uuid4() if state in LEASED else None,
        "pause": 1 if state == "paused" else None,
        "worker": "worker@test" if started else None,
        "run_at": now if state in ("scheduled", "retrying") else None,
        "created_at": now,
        "updated_at": now,
        "started_at": now if started else None,
        "finished_at": now if state in FINAL else None,
        **columns,
    }
    _insert("jobs_job", row)
    return row["id"]


def make_attempt(job_id: UUID, **columns: Any) -> None:
    """Insert one attempt of a job (default: its first, failed)."""
    now = datetime.now(UTC)
    row = {"epoch": 1, "number": 1, "worker": "worker@test", "started_at": now, "finished_at": now, "end": "failed"}
    _insert("jobs_attempt", {"job_id": job_id, **row, **columns})


def make_worker(**columns: Any) -> UUID:
    """Insert a live worker that serves every queue. Returns the id of its boot."""
    now = datetime.now(UTC)
    row = {
        "id": uuid4(),
        "name": "worker@test",
        "host": "test",
        "pid": 1,
        "slots": 1,
        "queues": None,
        "started_at": now,
        "heartbeat_at": now,
        **columns,
    }
    _insert("jobs_worker", row)
    return row["id"]


def hold(worker: UUID, ids: list[UUID], queue: str = "default") -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO jobs_lease (token, queue, routing_key, job_ids, payload, sent_at, worker, won_at) "
            "VALUES (gen_random_uuid(), %s, 'jobs.any', %s, '[]', now(), %s, now())",
            [queue, ids, worker],
        )


def attempts(job: Job) -> list[tuple]:
    """The job's attempts in their order: number, end, error."""
    return list(Attempt.objects.filter(job_id=job.pk).order_by("number").values_list("number", "end", "error"))


def ends_of(job: Job) -> list[str]:
    return [end for _, end, _ in attempts(job)]


def state_of(job_id: UUID) -> str:
    return Job.objects.get(pk=job_id).state


def _insert(table: str, row: dict[str, Any]) -> None:
    values = [dumps(value) if name in JSON_COLUMNS and value is not None else value for name, value in row.items()]
    names = ", ".join(f'"{name}"' for name in row)
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join(['%s'] * len(row))})", values)
