"""Rivals in the same run, so that ratios are of one machine at one hour."""

import os
import struct
import time
from pathlib import Path
from typing import Any

from .plan import Measure
from .proc import Cpu, Seen
from .rival import rival_app
from .site import SLOW_TICK, Site

# Jobsite's tasks would be in every Celery app of a process that imports it.
ITS_OWN = {"DJANGO_SETTINGS_MODULE": "rival_settings", "PYTHONPATH": str(Path(rival_app.__file__).parent)}


def run(site: Site, measure: Measure, jobs: int) -> dict[str, Any]:
    """One repetition: calls while no worker runs, then a worker, from its first start of a task to its last."""
    site.stop_fleet()
    app, records = getattr(rival_app, measure.way), Path(os.environ[rival_app.RECORDS])
    records.write_bytes(b"")
    task = app.tasks[f"bench.{measure.way}"]
    _connect(app)
    began = time.perf_counter()
    for _ in range(jobs):
        task.delay()
    enqueued = jobs / (time.perf_counter() - began)
    options = f"worker -c {site.workers} -l ERROR --without-gossip --without-mingle -n {site.queue}-rival@%h"
    command = ["-m", "celery", "-A", f"rival_app:{measure.way}", *options.split()]
    process = site.run(f"rival-{measure.way}", command, {**os.environ, **ITS_OWN})
    cpu = Cpu()

    def started() -> int:
        # Until the first start it is the worker's own start that takes the time.
        look = cpu.look if (count := records.stat().st_size // 8) else cpu.start
        look([Seen("worker", process.pid), *(Seen("child", pid) for pid in process.children()), *site.seen()])
        return count

    site.wait(started, jobs, f"{measure.title}: tasks that were started", tick=SLOW_TICK)
    site.processes.stop(process)
    site.processes.all.remove(process)
    starts = sorted(moment for (moment,) in struct.iter_unpack("<d", records.read_bytes()))
    if len(starts) != jobs:
        return {"jobs": jobs, "refused": f"{len(starts)} starts of {jobs} tasks"}
    seconds = starts[-1] - starts[0]
    return {
        "jobs": jobs,
        "enqueue_per_second": round(enqueued, 1),
        "seconds": round(seconds, 4),
        "per_second": round((jobs - 1) / seconds, 1),
        "cpu_seconds": cpu.used(),
    }


def _connect(app: Any) -> None:
    """The connection to the broker is opened before the clock runs, as the database's is for our calls."""
    with app.producer_pool.acquire(block=True) as producer:
        producer.connection.ensure_connection(max_retries=3)
