"""How many calls a second one process makes. Nothing runs meanwhile."""

import time
from typing import Any

from django.db import transaction

from . import tasks
from .plan import Measure
from .site import Site


def run(site: Site, measure: Measure, jobs: int) -> dict[str, Any]:
    """One repetition. The figure counts only if every call has its row."""
    site.stop_fleet()
    site.empty()
    tasks.noop.delay()  # the connection is opened, and what is looked up once is known
    before = site.statements.before()
    began, cpu = time.perf_counter(), time.process_time()
    WAYS[measure.way](jobs)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    spent = site.statements.since(before, jobs)
    rows = site.ask("SELECT count(*) FROM jobs_job")[0] - 1
    site.empty()
    if rows != jobs:
        return {"jobs": jobs, "refused": f"{rows} rows of {jobs} calls"}
    return {
        "jobs": jobs,
        "rows": rows,
        "seconds": round(seconds, 4),
        "per_second": round(jobs / seconds, 1),
        "caller_cpu_us": round(cpu * 1e6 / jobs, 1),
        "statements": spent,
    }


def autocommit(jobs: int) -> None:
    for _ in range(jobs):
        tasks.noop.delay()


def in_one_transaction(jobs: int) -> None:
    with transaction.atomic():
        autocommit(jobs)


def bulk(jobs: int) -> None:
    tasks.noop.enqueue_many([()] * jobs)


WAYS = {"autocommit": autocommit, "transaction": in_one_transaction, "bulk": bulk}
