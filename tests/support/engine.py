"""The engine's rooms driven by hand: leases without a dispatcher, runs without a worker process."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from celery import current_app
from django.db import connection

from jobs.app import JobsCelery, backend
from jobs.app.runner import Runner
from jobs.conf import jobs_settings
from jobs.engine.broker import Broker
from jobs.engine.dispatch import Dispatcher
from jobs.engine.enqueue import _loop_link, enqueue
from jobs.engine.execute import Place, carry
from jobs.engine.floors import Floors
from jobs.engine.link import Link
from jobs.engine.maintenance import Sweeper
from jobs.engine.newjob import NewJob, job_key
from jobs.engine.record import Recorder
from jobs.engine.slots import Slots
from jobs.models import Job, Lease
from jobs.policy import Outcome
from jobs.states import End, State
from jobs.wire import ANY_QUEUE

from .rows import make_worker

NODE = "worker@test"
RECORDER = "jobs tests recorder"
"""Application name of the recorder's connection."""


@contextmanager
def opened(name: str = "jobs tests", *, lock_timeout: float = 1.0) -> Iterator[Link]:
    """A connection of the platform's own, closed at the end: an open one would keep the test database alive."""
    link = Link(name, lock_timeout=lock_timeout)
    try:
        yield link
    finally:
        link.close()


def close_shared_links() -> None:
    backend._reader.close()
    _loop_link.close()


def empty_tables(link: Link) -> None:
    """Every row of the engine is gone: many times quicker than the flush of a transactional test."""
    tables = ("job", "chord", "attempt", "lease", "worker", "queue", "auditentry", "pause")
    link._open().execute("; ".join(f"DELETE FROM jobs_{table}" for table in tables))


def hasten(link: Link) -> None:
    """Commits of this thread need not reach the disk: nothing of them outlives its test."""
    link._open().execute("SET synchronous_commit = off")
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")


def new_job(**columns: Any) -> UUID:
    """Enqueue one job; returns its id."""
    return enqueue(NewJob(**{"task": "tests.support.tasks.noop", **columns}))


def lease(link: Link, ids: Sequence[UUID], *, routing_key: str = "jobs.any", place: float | None = None) -> UUID:
    """Lease pending jobs as one carrier, as the dispatcher does; it takes that part of a place, or a whole one."""
    token = uuid4()
    queue = Job.objects.get(pk=ids[0]).queue
    plan = {"ids": list(ids), "tokens": [token] * len(ids), "places": place and [place] * len(ids)}
    made = link.rows("dispatch", queue=queue, routing_key=routing_key, **plan)
    assert made == [(token,)]
    return token


def win(link: Link, token: UUID, *, worker: UUID | None = None) -> list[tuple]:
    return link.rows("win", token=token, worker=worker or make_worker(), node=NODE, receipt=uuid4())


def won(link: Link, ids: Sequence[UUID], *, worker: UUID | None = None) -> UUID:
    """Lease jobs and win the lease."""
    token = lease(link, ids)
    assert win(link, token, worker=worker)
    return token


@contextmanager
def placed(link: Link, *, worker: UUID | None = None) -> Iterator[Place]:
    """Where jobs run; its recorder has a connection of its own, as in a worker."""
    with opened(RECORDER, lock_timeout=0.3) as own:
        recorder = Recorder(own, NODE)
        yield Place(worker or make_worker(), NODE, 0, Slots(4), link, recorder)
        with recorder._lock:
            recorder._token = None  # its thread has nothing more to do, and leaves the connection closed


def run(link: Link, *ids: UUID) -> None:
    """Lease pending jobs as one carrier and run them to their end in this thread."""
    token = lease(link, ids)
    with placed(link) as place:
        carry(token, place, Runner(current_app._get_current_object(), place))


def drain(link: Link, *, most: int = 50) -> None:
    """Run what is pending, and what follows from it, to the end, with a sweep after each round."""
    for _ in range(most):
        sweep_chords(link)
        ready = list(Job.objects.filter(state="pending").order_by("rank", "id").values_list("pk", "queue"))
        if not ready:
            return
        for queue in {queue for _, queue in ready}:
            run(link, *[pk for pk, of in ready if of == queue])
    raise AssertionError(f"still pending after {most} rounds: {ready[:5]}")


def sweep_chords(link: Link) -> None:
    Sweeper(link, jobs_settings()).judge()


def run_result(link: Link, result: Any) -> Job:
    """Run the job of an AsyncResult once; returns its row."""
    key = job_key(result.id)
    run(link, key)
    return Job.objects.get(pk=key)


def outcome(job_id: UUID, **fields: Any) -> Outcome:
    """A success that took no time, or whatever `fields` say."""
    now = datetime.now(UTC)
    return Outcome(
        **{
            "job_id": job_id,
            "state": State.COMPLETED,
            "end": End.COMPLETED,
            "started_at": now,
            "finished_at": now,
            **fields,
        }
    )


def row(job_id: UUID) -> Job:
    return Job.objects.get(pk=job_id)


def leases() -> list[UUID]:
    return list(Lease.objects.order_by("sent_at").values_list("token", flat=True))


def later(link: Link, job: Job) -> Job:
    """Run a job that waits for its next attempt."""
    connection.cursor().execute("UPDATE jobs_job SET run_at = now() WHERE id = %s", [job.pk])
    link.rows("promote", limit=10, aging_us=1)
    run(link, job.pk)
    return row(job.pk)


def empty(broker: Broker) -> None:
    for key in (ANY_QUEUE, "a", "b"):
        broker.length(key)
        broker._connection.default_channel.queue_purge(key)


def dispatcher(link: Link, broker: Broker, *queues: str, **settings) -> Dispatcher:
    made = Dispatcher(link, broker, replace(jobs_settings(), **settings), queues=queues)
    made.durations._seconds["short"] = 0.001
    made.floors, made.length_age = Floors(share=math.inf), 0.0  # looks at everything, every time
    assert made.lead()
    return made


def unsent() -> JobsCelery:
    """An app whose broker nobody can reach."""
    app = JobsCelery("unsent", broker="redis://127.0.0.1:1/0", set_as_current=False)
    app.add_defaults({"broker_transport_options": {"socket_connect_timeout": 1}})
    return app
