"""A worker that is told to stop: it ends what it can, gives back the rest without blame, and is gone in time."""

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, urlsplit, urlunsplit

import pytest

from jobs.models import Attempt, Job, Lease, Worker
from tests.support.fleet import Fleet
from tests.support.gate import Gate
from tests.support.tasks import deaf, mark
from tests.support.wait import wait_until


@pytest.fixture
def working(fleet: Fleet) -> Fleet:
    fleet.environment["JOBS_SHUTDOWN_GRACE"] = "1"
    fleet.dispatcher()
    return fleet


def test_a_job_that_outlives_the_grace_is_given_back_without_blame(working: Fleet, tmp_path: Path) -> None:
    worker = working.worker(slots=2)
    result = deaf.delay(str(tmp_path / "started"))
    wait_until((tmp_path / "started").exists, what="the job to start")
    worker.terminate()
    assert worker.wait(15) == 0
    job = Job.objects.get(pk=result.id)
    assert (job.state, job.strikes, job.attempt) == ("pending", 0, 1)
    attempt = Attempt.objects.get()
    assert (attempt.end, attempt.error) == ("lost", "its worker was shut down")
    assert not Lease.objects.exists()
    assert Worker.objects.get().stopped_at is not None


def test_a_job_that_ends_within_the_grace_is_recorded(working: Fleet, tmp_path: Path) -> None:
    working.environment["JOBS_SHUTDOWN_GRACE"] = "20"
    worker = working.worker(slots=1)
    ledger = tmp_path / "ledger"
    result = mark.delay(str(ledger), 1.5)
    wait_until(ledger.exists, what="the job to start")
    worker.terminate()
    assert worker.wait(15) == 0
    assert Job.objects.get(pk=result.id).state == "completed"


def test_jobs_behind_the_running_one_are_given_back_as_if_nothing_had_been(working: Fleet, tmp_path: Path) -> None:
    worker = working.worker(slots=1)
    ledger = str(tmp_path / "ledger")
    for _ in range(4):
        mark.delay(ledger, 0.001).get(timeout=20)
    waiting = [mark.delay(ledger, 0.001).id for _ in range(300)]
    worker.terminate()
    assert worker.wait(15) == 0
    working.worker(slots=1)
    wait_until(lambda: Job.objects.filter(pk__in=waiting, state="completed").count() == 300, within=60)
    assert not Attempt.objects.filter(end="lost").exists()


def test_the_second_sigterm_changes_nothing(working: Fleet, tmp_path: Path) -> None:
    working.environment["JOBS_SHUTDOWN_GRACE"] = "20"
    worker = working.worker(slots=1)
    ledger = tmp_path / "ledger"
    result = mark.delay(str(ledger), 1.5)
    wait_until(ledger.exists, what="the job to start")
    worker.terminate()
    wait_until(lambda: "Warm shutdown" in Path(working.log("worker")).read_text(), what="the first signal heard")
    worker.terminate()
    assert worker.wait(15) == 0
    assert Job.objects.get(pk=result.id).state == "completed"


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_sigquit_gives_back_at_once_and_without_blame(working: Fleet, tmp_path: Path, pool: str) -> None:
    working.environment["JOBS_SHUTDOWN_GRACE"] = "60"
    worker = working.worker("-P", pool, slots=2)
    result = deaf.delay(str(tmp_path / "started"))
    wait_until((tmp_path / "started").exists, what="the job to start")
    worker.send_signal(signal.SIGQUIT)
    worker.wait(15)
    job = Job.objects.get(pk=result.id)
    assert (job.state, job.strikes, job.attempt) == ("pending", 0, 1)
    assert (Attempt.objects.get().end, Attempt.objects.get().error) == ("lost", "its worker was shut down")
    assert not Lease.objects.exists()


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_in_a_thread_too_a_job_that_outlives_the_grace_is_given_back(working: Fleet, tmp_path: Path, pool: str) -> None:
    worker = working.worker("-P", pool)
    result = mark.delay(str(tmp_path / "ledger"), 60)
    wait_until((tmp_path / "ledger").exists, what="the job to start")
    worker.terminate()
    assert worker.wait(15) == 0
    job = Job.objects.get(pk=result.id)
    assert (job.state, job.strikes, job.attempt) == ("pending", 0, 1)
    assert Attempt.objects.get().error == "its worker was shut down"
    assert Worker.objects.get().stopped_at is not None


def test_without_a_database_the_worker_ends_with_its_grace_and_the_job_runs_again(
    working: Fleet, tmp_path: Path
) -> None:
    with gate(working) as close:
        worker = working.worker(slots=1)
        ledger = tmp_path / "ledger"
        result = mark.delay(str(ledger), 1)
        wait_until(ledger.exists, what="the job to start")
        close()
        worker.terminate()
        worker.wait(20)
    working.worker(slots=1, name="next")
    wait_until(lambda: Job.objects.get(pk=result.id).state == "completed", what="the job run again")
    assert list(Attempt.objects.order_by("number").values_list("end", flat=True)) == ["lost", "completed"]
    assert ledger.read_text().split() == [result.id] * 2


@contextmanager
def gate(fleet: Fleet) -> Iterator[Callable[[], None]]:
    """What starts inside reaches the database through a gate; calling it shuts the gate for good."""
    direct = fleet.environment["DATABASE_URL"]
    parts = urlsplit(direct)
    with Gate(lambda: connected(parts)) as opened:
        fleet.environment["DATABASE_URL"] = urlunsplit(
            parts._replace(netloc=f"{parts.username}@127.0.0.1:{opened.port}", query="")
        )
        yield opened.shut
        fleet.environment["DATABASE_URL"] = direct


def connected(parts: SplitResult) -> socket.socket:
    """A connection to PostgreSQL, over TCP or the Unix socket in the directory `host`."""
    if parts.hostname:
        return socket.create_connection((parts.hostname, parts.port or 5432))
    (directory,) = parse_qs(parts.query)["host"]
    near = socket.socket(socket.AF_UNIX)
    near.connect(f"{directory}/.s.PGSQL.5432")
    return near
