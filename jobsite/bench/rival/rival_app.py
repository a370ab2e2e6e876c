"""Celery as it is without Jobsite, on the same broker: `celery -A rival_app:stock worker`.

Both prefetch more than Celery does by itself, which helps them with short tasks.
"""

import os
import struct
import time

from celery import Celery

QUEUE, RECORDS = "JOBSITE_BENCH_RIVAL_QUEUE", "JOBSITE_BENCH_RECORDS"
"""Environment variables: the queue of the rivals, and the file in which each start is a record of eight bytes."""

_file: int | None = None


def record() -> None:
    global _file
    if _file is None:
        _file = os.open(os.environ[RECORDS], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(_file, struct.pack("<d", time.time()))


def _app(name: str, **configuration: object) -> Celery:
    app = Celery(name, broker=os.environ.get("BROKER_URL"), set_as_current=False)
    app.conf.update(
        task_default_queue=os.environ.get(QUEUE, "celery"),
        worker_prefetch_multiplier=64,
        broker_connection_retry_on_startup=True,
        **configuration,
    )
    app.task(record, name=f"bench.{name}")
    return app


stock = _app("stock", task_ignore_result=True)
results = _app("results", result_backend="django-db", task_track_started=True, result_extended=True)
