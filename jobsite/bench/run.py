"""Measure after measure, inside a process whose database and broker are the bench's to use."""

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import beating, draining, enqueueing, facts, latency, rivals, statements
from .figures import medians, ratio
from .plan import Measure, chosen
from .site import Site

FORMAT = 1
DEFINITIONS = {
    "median": "of the repetitions, for each number by itself",
    "percentile": "nearest rank: the smallest value that at least so many percent of the values do not exceed",
    "drain": "jobs divided by the seconds from the first attempt's start to the last attempt's end, as recorded; the "
    "tables are emptied and the queue is filled while it is paused; refused unless there is one attempt for each job",
    "busy_percent": "time between start and end of all attempts, of all slots' time within the drain",
    "useful_percent": "the same with the nominal duration of the task in place of the measured one",
    "cpu_seconds": "user and system time of the processes of a role from the release of the queue to the last record; "
    "postgres: the backends of the bench's connections, where the server runs on this machine",
    "latency": "from the caller's commit to the first statement of the task, by the clock of this machine",
    "lateness": "from the time that the job waits for to its recorded start, by the clock of the database",
    "schedules": "from the due time to the insert of the job, by the clock of the database; of the beat, user and "
    "system time while nothing is due",
    "rival": "as a drain, but from the first start of a task to the last one, since stock Celery records no end",
}
COMPARED = (
    ("celery", "enqueue", "per_second", "enqueue_per_second"),
    ("celery", "enqueue-transaction", "per_second", "enqueue_per_second"),
    ("celery", "noop", "per_second", "per_second"),
    ("celery-results", "enqueue", "per_second", "enqueue_per_second"),
    ("celery-results", "noop", "per_second", "per_second"),
)
"""(rival, measure, our figure, the rival's)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    jobs: int
    workers: int
    runs: int
    only: tuple[str, ...]
    rivals: bool
    queue: str
    folder: str


def bench(options: Options, say: Callable[[str], None]) -> dict[str, Any]:
    """Everything that was asked for. Raises EngineError when something stands still or ends."""
    site = Site(Path(options.folder), options.queue, options.workers)
    dice = random.Random(1)
    told = facts.facts(site)
    memory: list[dict[str, Any]] = []
    measured = []
    try:
        for measure in chosen(list(options.only), rivals=options.rivals):
            if measure.kind == "rival" and not memory:
                memory = facts.memory(site)
            measured.append(_measure(site, measure, options, dice, say))
        memory = memory or facts.memory(site)
    finally:
        site.stop()
    return {
        "format": FORMAT,
        "options": asdict(options),
        **told,
        "definitions": DEFINITIONS,
        "statement_times": "pg_stat_statements" if site.statements.loaded else statements.ABSENT,
        "measures": measured,
        "memory": memory,
        "ratios": ratios(measured),
    }


def _measure(
    site: Site, measure: Measure, options: Options, dice: random.Random, say: Callable[[str], None]
) -> dict[str, Any]:
    jobs = measure.jobs(options.jobs)
    say(f"{measure.name}: {measure.title}, {options.runs} × {jobs:,}")
    if measure.kind in ("drain", "latency", "delayed"):
        draining.warm(site, measure)
    runs = [_once(site, measure, jobs, dice) for _ in range(options.runs)]
    refused = sorted({run["refused"] for run in runs if "refused" in run})
    return {
        "name": measure.name,
        "title": measure.title,
        "kind": measure.kind,
        "jobs": jobs,
        "runs": runs,
        "refused": refused,
        "median": {} if refused else medians(runs),
    }


def _once(site: Site, measure: Measure, jobs: int, dice: random.Random) -> dict[str, Any]:
    match measure.kind:
        case "enqueue":
            return enqueueing.run(site, measure, jobs)
        case "drain":
            return draining.run(site, measure, jobs)
        case "latency":
            return latency.run(site, measure, jobs, dice)
        case "delayed":
            return latency.delayed(site, measure, jobs, dice)
        case "schedules":
            return beating.run(site, measure, jobs)
        case _:
            return rivals.run(site, measure, jobs)


def ratios(measured: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ours as a multiple of a rival's, where both were measured."""
    median = {measure["name"]: measure["median"] for measure in measured}
    found = []
    for rival, ours, figure, theirs in COMPARED:
        pair = median.get(ours, {}).get(figure), median.get(rival, {}).get(theirs)
        if pair[0] is not None and pair[1] is not None:
            found.append({"measure": ours, "rival": rival, "times": ratio(*pair)})
    return found
