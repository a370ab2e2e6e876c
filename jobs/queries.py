"""What the platform knows, for those who show it; read only. Rows become plain values that JSON can carry."""

import json
from collections.abc import Iterable
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID

from django.db import connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Count, Min, QuerySet
from django.db.models.functions import Now

from .conf import jobs_settings
from .engine.dispatch import LOCK_FAMILY
from .engine.link import jobs_alias
from .engine.newjob import job_key
from .engine.sql import statement
from .errors import InvalidJob, JobNotFound
from .models import Attempt, Job, Worker
from .states import State

STATUS = {
    State.BLOCKED: "pending",
    State.SCHEDULED: "pending",
    State.PAUSED: "pending",
    State.DISPATCHED: "pending",
    State.EXPIRED: "cancelled",
}
"""The API's word for a state; every other state is its own word."""
COUNTED = 10_000
"""Pending jobs that are counted exactly."""
ERROR_SHOWN = 1_000
"""Characters of an error in a list."""


def find_job(job_id: UUID | str) -> Job:
    """The job of that id: a UUID, or the text that a Celery call gave as `task_id`. Raises JobNotFound."""
    try:
        job = Job.objects.using(jobs_alias()).filter(pk=job_key(job_id)).first()
    except InvalidJob:
        job = None  # a text that no job can have as its id
    if job is None:
        raise JobNotFound(str(job_id)[:80])
    return job


def find_jobs(term: str, task: str | None) -> dict[str, Any]:
    """What a search among jobs of a task means to a filter: one job by its id, or else all of the task it names."""
    try:
        return {"ids": [find_job(term).pk]}
    except JobNotFound:
        return {"task": term} if task in (None, term) else {"ids": []}


def status_of(job: Job) -> str:
    return STATUS.get(State(job.state), job.state)


def status(job: Job) -> dict[str, Any]:
    """Where a job stands; times are aware UTC."""
    return {
        "job_id": job.pk,
        "status": status_of(job),
        "state": job.state,
        "progress": job.progress,
        "attempts": job.attempt,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "completed_at": job.finished_at,
        "next_retry_at": job.run_at if job.state == State.RETRYING else None,
    }


def result(job: Job) -> dict[str, Any]:
    """How a job ended: `result` is None unless it completed, `duration` is seconds of its last attempt."""
    return {
        "job_id": job.pk,
        "status": status_of(job),
        "state": job.state,
        "result": plain(job.result) if job.state == State.COMPLETED else None,
        "error": job.error,
        "duration": _duration(job),
        "completed_at": job.finished_at,
    }


def summary(job: Job) -> dict[str, Any]:
    """A job in a list: everything that is never large. The error's text ends after ERROR_SHOWN characters."""
    return {
        **status(job),
        "id": job.pk,
        "type": job.task,
        "task": job.task,
        "name": job.name,
        "queue": job.queue,
        "priority": job.priority,
        "attempt": job.attempt,
        "retry_count": job.retry_count,
        "max_retries": job.max_retries,
        "tags": job.tags or {},
        "reference": {"type": job.reference_type, "id": job.reference_id} if job.reference_id is not None else None,
        "worker": job.worker,
        "created_by": job.created_by,
        "error": job.error and job.error[:ERROR_SHOWN],
        "duration": _duration(job),
        "run_at": job.run_at,
        "expires_at": job.expires_at,
        "updated_at": job.updated_at,
        "finished_at": job.finished_at,
    }


def describe(job: Job) -> dict[str, Any]:
    """Everything about one job but its attempts."""
    return {
        **summary(job),
        **result(job),
        "args": plain(job.args),
        "kwargs": plain(job.kwargs),
        "timeout": (plain(job.options) or {}).get("time_limit"),
    }


def attempts(job: Job) -> QuerySet[Attempt]:
    """The recorded attempts of the job's present epoch, first to last."""
    return Attempt.objects.using(jobs_alias()).filter(job_id=job.pk, epoch=job.epoch).order_by("number")


def _duration(job: Job) -> float | None:
    return (job.finished_at - job.started_at).total_seconds() if job.finished_at and job.started_at else None


def plain(text: str | None) -> Any:
    """A row's JSON without the envelopes that Celery puts around dates, decimals, UUIDs and bytes."""
    try:
        return None if text is None else json.loads(text, object_hook=_unwrap)
    except RecursionError:
        # Nested too deeply for this thread's stack: shown as it is stored.
        return text


def _unwrap(value: dict[str, Any]) -> Any:
    if value.keys() != {"__type__", "__value__"}:
        return value
    match value:
        case {"__type__": "uuid", "__value__": {"hex": str(digits)}}:
            return str(UUID(digits))
        case {"__type__": "datetime" | "date" | "time" | "decimal" | "bytes" | "base64", "__value__": str(text)}:
            return text
    return value


def dispatchers() -> int:
    """Dispatchers that are at work now, standbys not counted."""
    with connections[jobs_alias()].cursor() as cursor:
        cursor.execute(statement("dispatchers"), {"family": LOCK_FAMILY})
        return cursor.fetchone()[0]


def live_workers() -> list[Worker]:
    """Worker boots that take jobs, latest heartbeat first, by the database's clock."""
    timeout = timedelta(seconds=jobs_settings().worker_timeout)
    live = Worker.objects.using(jobs_alias()).filter(
        stopping_at=None, stopped_at=None, lost_at=None, heartbeat_at__gt=Now() - timeout
    )
    return list(live.order_by("-heartbeat_at"))


def waiting_queues() -> list[str]:
    """Queues that have a pending job and are not paused."""
    with connections[jobs_alias()].cursor() as cursor:
        cursor.execute(statement("ready_queues"))
        return [name for name, paused, *_ in cursor.fetchall() if not paused]


def unserved(queues: Iterable[str], workers: Iterable[Worker]) -> list[str]:
    """Those of the queues that none of the workers serves."""
    lists = [worker.queues for worker in workers]
    return [] if None in lists else sorted(set(queues) - {name for served in lists for name in served})


def has_overdue() -> bool:
    """Whether a scheduled or retrying job's time has come and nobody has made it pending."""
    waiting = Job.objects.using(jobs_alias()).filter(state__in=[State.SCHEDULED, State.RETRYING])
    return waiting.filter(run_at__lt=Now() - timedelta(seconds=5)).exists()


def pending() -> dict[str, Any]:
    """How many jobs are pending, exact up to COUNTED, and since when the oldest of those waits."""
    front = Job.objects.using(jobs_alias()).filter(state=State.PENDING).order_by("queue", "rank", "id")
    counted = front[: COUNTED + 1].aggregate(count=Count("pk"), oldest=Min("ready_at"))
    return {
        "count": min(counted["count"], COUNTED),
        "capped": counted["count"] > COUNTED,
        "oldest_ready_at": counted["oldest"],
    }


def unapplied_migrations() -> list[str]:
    """The latest migrations of installed apps that this database does not have."""
    applied = MigrationRecorder(connections[jobs_alias()]).applied_migrations()
    return sorted(f"{app}.{name}" for app, name in _wanted_migrations() if (app, name) not in applied)


@cache
def _wanted_migrations() -> tuple[tuple[str, str], ...]:
    return tuple(MigrationLoader(None, ignore_no_migrations=True).graph.leaf_nodes())
