"""A worker that is told to stop: it ends what it can, gives back the rest without blame, and is gone in time."""

from pathlib import Path

import pytest

from jobs.models import Attempt, Job, Lease, Worker
from tests.support.fleet import Fleet
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
