"""Several beats at once, whose own clocks go wrong, which die, and whose time jumps: each due time is fired once."""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection
from django_celery_beat.models import PeriodicTask

from jobs.engine.failpoints import arm, was_hit
from jobs.models import Job
from schedules.models import Beat, Occurrence
from schedules.recurrence import occurrences
from schedules.scheduler import JobScheduler
from schedules.times import recurrence, times_of
from tests.support.fleet import Fleet, database_url, kill
from tests.support.schedules import beat, clock, companion, history, make_due, make_schedule
from tests.support.wait import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


class Beats:
    """Beats in threads of their own, each on a connection of its own."""

    def __init__(self, count: int, *, longest_nap: float = 1.0, **options: Any) -> None:
        self.longest_nap = longest_nap
        self.schedulers = [beat(dice=lambda: 0.0, **options) for _ in range(count)]
        self.pids: dict[int, int] = {}
        self.ticks = Counter[int]()
        self.errors: list[BaseException] = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number, scheduler))
            for number, scheduler in enumerate(self.schedulers)
        ]

    def __enter__(self) -> "Beats":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, number: int, scheduler: JobScheduler) -> None:
        try:
            while not self._stop.is_set():
                nap = scheduler.tick()
                if connection.connection is not None:
                    self.pids[number] = connection.connection.info.backend_pid
                self.ticks[number] += 1
                self._stop.wait(min(nap, self.longest_nap))
        except BaseException as error:
            self.errors.append(error)
        finally:
            connection.close()


@contextmanager
def wrong_clocks(monkeypatch: pytest.MonkeyPatch, beats: int) -> Iterator[None]:
    """In each of the beats' threads it is another time, by hours."""
    right, offsets = time.time, dict[int, float]()

    def wrong() -> float:
        thread = threading.get_ident()
        if thread == threading.main_thread().ident:
            return right()
        return right() + offsets.setdefault(thread, (len(offsets) - beats / 2) * 3600.0)

    monkeypatch.setattr("schedules.scheduler.time.time", wrong)
    yield
    monkeypatch.undo()


def fired(task: PeriodicTask) -> list[datetime]:
    return [one.due_at for one in history(task) if one.state == "fired"]


def test_five_beats_with_wrong_clocks_fire_each_due_time_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = [make_schedule(f"s{n}", every=1) for n in range(40)]
    with wrong_clocks(monkeypatch, 5), Beats(5) as beats:
        wait_until(
            lambda: all(len(fired(task)) >= 3 for task in tasks) and Beat.objects.count() == 5, what="three rounds"
        )
    assert beats.errors == []
    jobs = Counter(Job.objects.values_list("reference_id", flat=True))
    for task in tasks:
        found = fired(task)
        assert found == [found[0] + timedelta(seconds=n) for n in range(len(found))]
        assert jobs[str(task.pk)] == len(found)
        assert {one.state for one in history(task)} == {"fired"}
    assert max(abs(row.skew) for row in Beat.objects.all()) > 3000


START = datetime(2026, 3, 28, 12, tzinfo=UTC)
"""In Europe, the clocks are put forward in the night that follows."""
CRONS = ("*/10 * * * *", "7 * * * *", "30 2 * * *", "0 3 * * *", "15,45 9-17 * * *", "59 23 * * *")


def test_24_virtual_hours_with_kills_and_jumps_of_the_clock_miss_and_double_nothing() -> None:
    """The time that the beats go by is turned by hand; whatever they are at then, connections die under them."""
    tasks = [make_schedule(f"cron {n}", cron=cron) for n, cron in enumerate(CRONS)]
    tasks += [make_schedule(f"every {seconds}", every=seconds) for seconds in (90, 120, 300, 3600)]
    for task in tasks:
        if task.crontab and task.pk % 2:
            type(task.crontab).objects.filter(pk=task.crontab_id).update(timezone="Europe/Berlin")
        companion(task, anchor_at=START, edited_at=START, next_run_at=None, window=4 * 3600.0)
    now, end, dice, kills, jumps = [START], START + timedelta(hours=24), random.Random(7), 0, 0
    with (
        psycopg.connect(database_url(), autocommit=True) as other,
        Beats(3, longest_nap=0.003, clock=lambda _: now[0]) as beats,
    ):
        latest = START
        while latest < end:
            before = beats.ticks.total()
            step = timedelta(seconds=dice.uniform(10, 400))
            if dice.random() < 0.02:
                jumps += 1
                step = timedelta(hours=dice.choice([-1, 1]))
            now[0] = min(now[0] + step, end)
            latest = max(latest, now[0])
            if dice.random() < 0.1 and beats.pids:
                kills += 1
                other.execute("SELECT pg_terminate_backend(%s)", [dice.choice(list(beats.pids.values()))])
            for scheduler in beats.schedulers:
                scheduler._pause = 0.0  # as if it had been started again
            wait_until(lambda before=before: beats.errors or beats.ticks.total() > before, what="a tick")
        now[0] = end
        wait_until(lambda: beats.errors or all(companion(task).next_run_at > end for task in tasks), what="the end")
    assert beats.errors == []
    assert kills > 10
    assert jumps > 3
    jobs = Counter(Job.objects.values_list("reference_id", flat=True))
    for task in PeriodicTask.objects.filter(pk__in=[task.pk for task in tasks]):
        wanted = occurrences(recurrence(times_of(task, START)), after=START, until=end, limit=10_000)
        assert fired(task) == wanted, task.name
        assert jobs[str(task.pk)] == len(wanted), task.name
    assert Occurrence.objects.exclude(state="fired").count() == 0


def test_a_beat_that_is_killed_in_the_middle_of_a_batch_is_covered_by_another(fleet: Fleet, tmp_path: Path) -> None:
    folder = tmp_path / "failpoints"
    folder.mkdir()
    fleet.environment["JOBS_FAILPOINTS"] = str(folder)
    tasks = [make_schedule(f"s{n}", every=3600) for n in range(20)]
    doomed = fleet.start("doomed", "-m", "celery", "-A", "jobsite", "beat", "-l", "INFO", "--pidfile=")
    wait_until(
        lambda: all(companion(task).next_run_at for task in tasks) or fleet.gone(doomed), what="a beat that ticks"
    )
    arm(folder, "KE1", "kill")
    due = [make_due(task) for task in tasks]
    wait_until(lambda: doomed.poll() is not None and was_hit(folder, "KE1").exists(), what="its death")
    # What it had inserted went with its transaction.
    assert Job.objects.count() == Occurrence.objects.count() == 0
    kill(doomed)
    began = clock()
    other = fleet.start("other", "-m", "celery", "-A", "jobsite", "beat", "-l", "INFO", "--pidfile=")
    wait_until(lambda: Job.objects.count() == 20 or fleet.gone(other), what="another beat")
    assert (clock() - began).total_seconds() < 10
    assert [fired(task) for task in tasks] == [[each] for each in due]
    assert Job.objects.count() == 20
