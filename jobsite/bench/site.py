"""The bench's queue, dispatcher and worker, on a database of its own; seen from outside by SQL and /proc."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.utils import timezone

from jobs.models import Queue

from ..embedded import EngineError
from ..soak.processes import Process, Processes
from . import tasks
from .proc import Seen, is_postgres
from .statements import Statements

TICK, SLOW_TICK = 0.02, 0.1
"""Seconds between two looks; the slow one is for looks that would cost as much as what they look at."""
STALLED = 90.0
"""Seconds without any progress after which a measure has failed."""
OBSERVER = "jobs bench observer"


class Site:
    def __init__(self, folder: Path, queue: str, workers: int) -> None:
        self.queue, self.workers = queue, workers
        self.processes = Processes(folder)
        self.connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True, application_name=OBSERVER)
        self.statements = Statements(self.connection)
        self._worker: Process | None = None
        self._dispatcher: Process | None = None
        for task in tasks.ALL:
            task.queue = queue
        # 0 keeps every dead letter: failing jobs would be deleted while they are counted.
        Queue.objects.create(name=queue, paused_at=timezone.now(), paused_reason="bench", dead_letter_cap=0)

    def start(self) -> None:
        """Dispatcher and worker, if they do not run yet."""
        if self._worker is None:
            worker = f"-m celery -A jobsite worker -c {self.workers} -l WARNING --without-gossip --without-mingle"
            named = ["-Q", self.queue, "-n", f"{self.queue}@%h"]
            self._dispatcher = self.run("dispatcher", ["manage.py", "dispatch", "--queues", self.queue])
            self._worker = self.run("worker", [*worker.split(), *named])

    def run(self, name: str, command: list[str], environment: Mapping[str, str] = os.environ) -> Process:
        return self.processes.add(name, command, environment)

    def stop(self) -> None:
        self.processes.stop()
        self._worker = self._dispatcher = None

    def stop_fleet(self) -> None:
        """So that nobody else works, while a rival is measured."""
        if self._worker is not None and self._dispatcher is not None:
            self.processes.stop(self._worker, self._dispatcher)
            self._worker = self._dispatcher = None

    def pause(self, paused: bool) -> None:
        Queue.objects.filter(name=self.queue).update(paused_at=timezone.now() if paused else None)

    def empty(self) -> None:
        """Forget all jobs; only while none is under way."""
        self.connection.execute("TRUNCATE jobs_job, jobs_attempt, jobs_lease")

    def ask(self, query: str, *params: Any) -> tuple:
        row = self.connection.execute(query, params).fetchone()
        assert row is not None
        return row

    def wait(self, progress: Callable[[], int], enough: int, what: str, *, tick: float = TICK) -> None:
        """Until `progress()` is enough. Raises EngineError when it stands still or a process has ended."""
        best, since = -1, time.monotonic()
        while (now := progress()) < enough:
            if now > best:
                best, since = now, time.monotonic()
            if time.monotonic() - since > STALLED:
                raise EngineError(f"{what}: {now} of {enough} after {STALLED:.0f} s without progress.")
            self._check()
            time.sleep(tick)

    def seen(self) -> Iterator[Seen]:
        """The processes at work. Those of PostgreSQL only where it runs on this machine."""
        if self._dispatcher is not None and self._worker is not None:
            yield Seen("dispatcher", self._dispatcher.pid)
            yield Seen("worker", self._worker.pid)
            yield from (Seen("child", pid) for pid in self._worker.children())
        rows = self.connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = current_database()"
            " AND application_name <> %s",
            [OBSERVER],
        )
        yield from (Seen("postgres", pid) for (pid,) in rows if is_postgres(pid))

    def _check(self) -> None:
        for process in self.processes.all:
            if process.wanted and not process.runs:
                said = process.log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
                raise EngineError(f"{process.name} ended while it was measured: {said[-1]}")


def broker_url() -> str:
    return str(settings.CELERY_BROKER_URL)
