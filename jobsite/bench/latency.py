"""How soon a job starts: after its caller's commit, or after the time that it waits for."""

import json
import random
import time
from typing import Any

from django.db import transaction

from . import tasks
from .figures import spread
from .plan import Measure
from .site import Site

IDLE = (0.02, 0.06)
"""Seconds from one call to the next on an idle site; at random, so that they meet every moment of a poll."""
DUE = (1.0, 2.0)
"""Seconds that delayed jobs wait."""


def run(site: Site, measure: Measure, jobs: int, dice: random.Random) -> dict[str, Any]:
    """Seconds from commit to start on this machine's clock, which the caller and the task both read."""
    calls: list[tuple[str, float]] = []
    began = time.perf_counter()
    for number in range(jobs):
        if measure.pace is None:
            _sleep_until(time.perf_counter() + dice.uniform(*IDLE))
        else:
            # By a timetable: a slow call must not make the load lighter.
            _sleep_until(began + number / measure.pace)
        calls.append(_call())
    took = time.perf_counter() - began
    rows = _results(site, [job for job, _ in calls], measure.title)
    if len(rows) != jobs:
        return {"jobs": jobs, "refused": f"{len(rows)} of {jobs} jobs completed"}
    waited = [rows[job] - committed for job, committed in calls]
    return {"jobs": jobs, "calls_per_second": round(jobs / took, 1), **_milliseconds(waited)}


def delayed(site: Site, measure: Measure, jobs: int, dice: random.Random) -> dict[str, Any]:
    """Seconds from the time that a job was to wait for to its start, both on the database's clock."""
    ids = [tasks.stamp.apply_async(countdown=dice.uniform(*DUE)).id for _ in range(jobs)]
    done = len(_results(site, ids, measure.title))
    if done != jobs:
        return {"jobs": jobs, "refused": f"{done} of {jobs} jobs completed"}
    rows = site.connection.execute(
        "SELECT extract(epoch FROM started_at - ready_at)::float8 FROM jobs_job WHERE id = ANY(%s::uuid[])", [ids]
    )
    late = [row[0] for row in rows]
    return {"jobs": jobs, "early": sum(seconds < 0 for seconds in late), **_milliseconds(late)}


def _call() -> tuple[str, float]:
    committed: list[float] = []
    with transaction.atomic():
        # Before the platform's own: the wake-up of the dispatcher is part of what is measured.
        transaction.on_commit(lambda: committed.append(time.time()))
        job = tasks.stamp.delay().id
    return job, committed[0]


def _results(site: Site, ids: list[str], title: str) -> dict[str, float]:
    """What each completed job returned, once all of them have ended."""
    ended = "SELECT count(*) FROM jobs_job WHERE finished_at IS NOT NULL AND id = ANY(%s::uuid[])"
    site.wait(lambda: site.ask(ended, ids)[0], len(ids), f"{title}: jobs that have ended")
    rows = site.connection.execute(
        "SELECT id::text, result FROM jobs_job WHERE state = 'completed' AND id = ANY(%s::uuid[])", [ids]
    )
    return {job: json.loads(result) for job, result in rows}


def _milliseconds(seconds: list[float]) -> dict[str, float]:
    return {f"{name}_ms": value for name, value in spread(seconds).items()}


def _sleep_until(moment: float) -> None:
    if (left := moment - time.perf_counter()) > 0:
        time.sleep(left)
