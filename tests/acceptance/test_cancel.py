"""Cancelling a job that runs: it is asked, then interrupted, then killed; nobody else pays for it."""

from pathlib import Path

import pytest

from jobs.engine import cancel
from jobs.engine.newjob import job_key
from jobs.models import Attempt, AuditEntry, Job
from tests.support.fleet import Fleet
from tests.support.tasks import deaf, fail, interrupted, mark, polite
from tests.support.wait import wait_until


@pytest.fixture
def working(fleet: Fleet) -> Fleet:
    fleet.environment["JOBS_CANCEL_GRACE"] = "4"
    fleet.dispatcher()
    fleet.worker(slots=1)
    return fleet


@pytest.fixture
def started(tmp_path: Path) -> Path:
    return tmp_path / "started"


def cancel_running(result, started: Path) -> Job:
    wait_until(started.exists, what="the job to start")
    asked = cancel([job_key(result.id)], actor="tester", reason="enough")
    assert asked.asked == [job_key(result.id)]
    wait_until(lambda: Job.objects.get(pk=result.id).is_final, what="the job's end")
    return Job.objects.get(pk=result.id)


def test_a_running_job_is_interrupted_and_may_tidy_up(working: Fleet, started: Path, tmp_path: Path) -> None:
    job = cancel_running(interrupted.delay(str(started), str(tmp_path / "tidied")), started)
    assert (job.state, job.error) == ("cancelled", "cancelled while it ran")
    assert (tmp_path / "tidied").exists()
    assert Attempt.objects.get().end == "cancelled"
    assert AuditEntry.objects.get().action == "request_cancel"


def test_a_job_that_looks_for_its_cancellation_ends_as_it_likes(working: Fleet, started: Path) -> None:
    job = cancel_running(polite.delay(str(started)), started)
    assert (job.state, job.result) == ("completed", '"stopped by itself"')


def test_a_deaf_job_is_killed_after_the_grace_and_the_worker_goes_on(
    working: Fleet, started: Path, tmp_path: Path
) -> None:
    job = cancel_running(deaf.delay(str(started)), started)
    assert (job.state, job.strikes) == ("cancelled", 0)
    mark.delay(str(tmp_path / "ledger")).get(timeout=20)


def test_revoke_with_terminate_stops_a_running_job(working: Fleet, started: Path, tmp_path: Path) -> None:
    result = interrupted.delay(str(started), str(tmp_path / "tidied"))
    wait_until(started.exists, what="the job to start")
    result.revoke()
    assert Job.objects.get().cancel_requested_at is None
    result.revoke(terminate=True)
    wait_until(lambda: result.state == "REVOKED", what="the job's end")


def test_a_job_that_waits_for_its_retry_is_cancelled_at_once(working: Fleet) -> None:
    working.environment["JOBS_RETRY_DELAY"] = "60"
    result = fail.apply_async(max_retries=5)
    wait_until(lambda: Job.objects.get().state == "retrying" and Job.objects.get().retries >= 1)
    while not cancel([job_key(result.id)], actor="tester").now:
        pass  # it was just running again
    assert Job.objects.get().state == "cancelled"
