"""How many jobs a second the site does, from the first start to the last end, with every attempt on record."""

import time
from typing import Any

from . import tasks
from .figures import refusal
from .plan import Measure
from .proc import Cpu
from .site import SLOW_TICK, Site

WARM = 50
"""Jobs of the same task before the first repetition: how long it takes is known then."""
COUNT_EVERY = 5.0
"""Seconds between two counts while jobs run."""
RECORDED = """
SELECT count(*), count(DISTINCT job_id), count(*) FILTER (WHERE "end" = %s),
       extract(epoch FROM max(finished_at) - min(started_at))::float8,
       sum(extract(epoch FROM finished_at - started_at))::float8
  FROM jobs_attempt WHERE job_id = ANY(%s::uuid[])"""


def warm(site: Site, measure: Measure) -> None:
    site.start()
    # Twice: until the first has ended, each travels alone.
    for count in (site.workers, WARM):
        drain(site, measure, count)


def run(site: Site, measure: Measure, jobs: int) -> dict[str, Any]:
    """One repetition. The figure counts only if there is one attempt for each job, and it ended as it should."""
    found = drain(site, measure, jobs)
    attempts, distinct, ended_well = found.pop("attempts"), found.pop("distinct"), found.pop("ended_well")
    if why := refusal(jobs, attempts=attempts, distinct=distinct, ended_well=ended_well):
        return {"jobs": jobs, "refused": why}
    return {"jobs": jobs, "attempts": attempts, **found}


def drain(site: Site, measure: Measure, jobs: int) -> dict[str, Any]:
    """Fill the paused queue of an empty table, let it go, and wait for the last record."""
    site.pause(True)
    site.empty()
    task = getattr(tasks, measure.task)
    ids = task.enqueue_many([measure.args] * jobs, **measure.options)
    cpu, before = Cpu(), site.statements.before()
    cpu.start(site.seen())
    site.pause(False)
    counted, count_at = 0, time.monotonic() + COUNT_EVERY

    def recorded() -> int:
        nonlocal counted, count_at
        cpu.look(site.seen())
        # Counting is work for the server: seldom, until the last job has ended. The last is found by its key.
        last = site.ask("SELECT finished_at FROM jobs_job WHERE id = %s", ids[-1])[0]
        if last is not None or time.monotonic() > count_at:
            counted, count_at = site.ask("SELECT count(*) FROM jobs_attempt")[0], time.monotonic() + COUNT_EVERY
        return counted

    site.wait(recorded, jobs, f"{measure.title}: jobs that have ended", tick=SLOW_TICK)
    cpu.look(site.seen())
    spent = site.statements.since(before, jobs)
    attempts, distinct, ended_well, seconds, at_work = site.ask(RECORDED, measure.end, ids)
    slots = site.workers * seconds
    return {
        "attempts": attempts,
        "distinct": distinct,
        "ended_well": ended_well,
        "seconds": round(seconds, 4),
        "per_second": round(jobs / seconds, 1),
        "busy_percent": round(100 * at_work / slots, 1),
        "useful_percent": round(100 * jobs * measure.nominal / slots, 1),
        "cpu_seconds": cpu.used(),
        "statements": spent,
    }
