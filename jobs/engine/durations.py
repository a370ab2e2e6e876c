"""How long tasks take, learnt from finished jobs: it decides how many share a carrier, nothing else."""

import time
from collections.abc import Sequence

from ..conf import JobsSettings
from ..policy import MESSAGE, Candidate
from .link import Link

REFRESH = 0.5
"""Seconds between two looks at the latest finished jobs."""
FORGET = 600.0
"""Seconds after which the duration of a task that did not finish a job is read again."""


class Durations:
    def __init__(self, link: Link) -> None:
        self._link = link
        self._seconds: dict[str, float] = {}
        self._asked: dict[str, float] = {}
        self._refreshed = 0.0
        self._jobs_per_place: dict[str, float] = {}

    def expected(self, task: str) -> float | None:
        """Mean seconds of the task's latest runs; None if it never finished one."""
        return self._seconds.get(task)

    def learn(self, tasks: set[str]) -> None:
        """Refresh from the latest finished jobs, and look up tasks that are not known yet."""
        now = time.monotonic()
        if now - self._refreshed >= REFRESH:
            self._refreshed = now
            for task, seconds in self._link.rows("durations", limit=500):
                known = self._seconds.get(task)
                self._seconds[task] = seconds if known is None else (known + seconds) / 2
        for task in tasks:
            age = now - self._asked.get(task, -FORGET)
            if age >= FORGET or (task not in self._seconds and age >= REFRESH / 5):
                self._asked[task] = now
                seconds = self._link.rows("task_duration", task=task)[0][0]
                if seconds is not None:
                    self._seconds[task] = seconds

    def per_place(self, queue: str, settings: JobsSettings) -> int:
        """How many jobs a place in the window lately held, doubled: the number worth looking at."""
        most = max(settings.carrier_max, settings.carrier_seconds / MESSAGE)
        return round(max(2, min(most, 2 * self._jobs_per_place.get(queue, 1.0))))

    def note_carriers(self, queue: str, carriers: Sequence[Sequence[Candidate]], places: Sequence[float]) -> None:
        self._jobs_per_place[queue] = max(len(carrier) / place for carrier, place in zip(carriers, places, strict=True))
