"""How late a beat fires when many schedules are due at one moment, and what it costs while none is."""

import time
from typing import Any

from .figures import spread
from .plan import Measure
from .proc import cpu_seconds
from .site import Site

REST = 10.0
"""Seconds of which the CPU is measured while nothing is due."""
AHEAD = "2 seconds"
"""From the moment that the schedules are told to be due to that at which they are."""
MAKE = """
WITH day AS (
    INSERT INTO django_celery_beat_intervalschedule (every, period) VALUES (1, 'days') RETURNING id
)
INSERT INTO django_celery_beat_periodictask
       (name, task, args, kwargs, headers, interval_id, enabled, one_off, total_run_count, date_changed, description,
        queue)
SELECT 'bench ' || n, 'jobsite.bench.tasks.noop', '[]', '{}', '{}', day.id, true, false, 0, now(), '', %s
  FROM day, generate_series(1, %s) AS n
"""
DUE = """
UPDATE schedules_schedule SET next_run_at = now() + %s::interval, anchor_at = now() + %s::interval
 WHERE periodic_task_id IN (SELECT periodic_task_id FROM schedules_schedule WHERE active
                             ORDER BY periodic_task_id LIMIT %s)
RETURNING next_run_at
"""
LATE = """
SELECT extract(epoch FROM j.created_at - o.due_at)::float8
  FROM schedules_occurrence AS o JOIN jobs_job AS j ON j.id = o.job_id
"""


def run(site: Site, measure: Measure, schedules: int) -> dict[str, Any]:
    """Seconds from the due time to the call, on the database's clock, of a tenth of the schedules at one moment."""
    due = max(1, schedules // 10)
    site.connection.execute("DELETE FROM django_celery_beat_periodictask")
    site.empty()
    site.connection.execute(MAKE, [site.queue, schedules])
    site.connection.execute("ANALYZE schedules_schedule, django_celery_beat_periodictask")
    beat = site.run("beat", ["-m", "celery", "-A", "jobsite", "beat", "-l", "WARNING", "--pidfile="])
    try:
        computed = "SELECT count(*) FROM schedules_schedule WHERE next_run_at IS NOT NULL"
        site.wait(lambda: site.ask(computed)[0], schedules, f"{measure.title}: next runs")
        rest = _cpu_at_rest(beat.pid)
        ((moment,), *_) = site.connection.execute(DUE, [AHEAD, AHEAD, due]).fetchall()
        fired = "SELECT count(*) FROM schedules_occurrence WHERE state = 'fired'"
        site.wait(lambda: site.ask(fired)[0], due, f"{measure.title}: occurrences")
        seen = site.ask("SELECT extract(epoch FROM clock_timestamp() - %s)::float8", moment)[0]
        late = [row[0] for row in site.connection.execute(LATE)]
    finally:
        site.processes.stop(beat)
    if len(late) != due:
        return {"schedules": schedules, "refused": f"{len(late)} jobs of {due} occurrences"}
    return {
        "schedules": schedules,
        "due": due,
        "rest_cpu_percent": rest,
        "all_committed_ms": round(seen * 1000, 1),
        **{f"{name}_ms": value for name, value in spread(late).items()},
    }


def _cpu_at_rest(pid: int) -> float:
    """Percent of a core."""
    before, began = cpu_seconds(pid), time.monotonic()
    time.sleep(REST)
    after = cpu_seconds(pid)
    if before is None or after is None:
        return 0.0
    return round(100 * (after - before) / (time.monotonic() - began), 2)
