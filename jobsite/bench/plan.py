"""What is measured, in which order, and with how many jobs."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import Refused


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    name: str
    title: str
    kind: str
    """enqueue, drain, latency, delayed, schedules or rival."""
    share: float
    """Jobs of one repetition, as a share of --jobs."""
    task: str = "noop"
    args: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    way: str = ""
    """How jobs come: for enqueue autocommit, transaction or bulk; for a rival the name of its app."""
    nominal: float = 0.0
    """Seconds that the task itself takes."""
    end: str = "completed"
    """How every attempt has to end."""
    pace: float | None = None
    """Jobs a second; None: one after the other."""

    def jobs(self, jobs: int) -> int:
        return max(10, round(jobs * self.share))


def enqueueing(name: str, title: str, way: str, share: float) -> Measure:
    return Measure(name=name, title=title, kind="enqueue", way=way, share=share)


def draining(name: str, title: str, share: float, task: str = "noop", **more: Any) -> Measure:
    return Measure(name=name, title=title, kind="drain", share=share, task=task, **more)


MEASURES = (
    enqueueing("enqueue", "delay(), each committed by itself", "autocommit", 0.2),
    enqueueing("enqueue-transaction", "delay(), all in one transaction", "transaction", 0.2),
    enqueueing("bulk", "enqueue_many()", "bulk", 1.0),
    draining("noop", "no-op jobs", 1.0),
    draining("1ms", "jobs of 1 ms", 0.3, "pause", args=(0.001,), nominal=0.001),
    draining("10ms", "jobs of 10 ms", 0.06, "pause", args=(0.01,), nominal=0.01),
    draining("100ms", "jobs of 100 ms", 0.003, "pause", args=(0.1,), nominal=0.1),
    draining("failing", "failing jobs, not retried", 0.3, "fail", end="failed"),
    draining("limited", "no-op jobs, time_limit=300", 1.0, options={"time_limit": 300}),
    draining("alone", "no-op jobs, one a lease", 0.1, "alone"),
    Measure(name="latency", title="commit to start, idle", kind="latency", task="stamp", share=0.01),
    Measure(name="latency-200", title="commit to start, 200 jobs/s", kind="latency", task="stamp", share=0.1, pace=200),
    Measure(name="delayed", title="lateness of delayed jobs", kind="delayed", task="stamp", share=0.02),
    Measure(name="schedules", title="a tenth of the schedules due at one moment", kind="schedules", share=1.0),
)
RIVALS = (
    Measure(name="celery", title="stock Celery, no results", kind="rival", way="stock", share=0.3),
    Measure(
        name="celery-results",
        title="Celery + django-celery-results, track_started",
        kind="rival",
        way="results",
        share=0.03,
    ),
)


def chosen(only: list[str], *, rivals: bool) -> tuple[Measure, ...]:
    """The measures of those names, all if there are none. Raises Refused for a name that is unknown."""
    known = {measure.name: measure for measure in (*MEASURES, *RIVALS)}
    for name in only:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise Refused(f"There is no measure {name!r}.{hint} Known: {', '.join(known)}.")
    taken = [measure for measure in MEASURES if not only or measure.name in only]
    return (*taken, *(rival for rival in RIVALS if rivals or rival.name in only))
