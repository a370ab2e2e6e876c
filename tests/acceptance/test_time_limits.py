"""Time limits hold for each job, also for one that shares its message with others."""

from pathlib import Path

import pytest
from django.db import transaction

from jobs.models import Attempt, Job, Lease
from tests.support.fleet import Fleet
from tests.support.tasks import mark, obey, stubborn, waits
from tests.support.wait import wait_until


@pytest.fixture
def working(fleet: Fleet) -> Fleet:
    fleet.dispatcher()
    fleet.worker(slots=1)
    return fleet


def ended(job_id: str) -> Job:
    wait_until(lambda: Job.objects.filter(pk=job_id, finished_at__isnull=False).exists(), what="the job's end")
    return Job.objects.get(pk=job_id)


def test_a_job_that_ignores_everything_is_killed_at_its_hard_limit(working: Fleet) -> None:
    job = ended(stubborn.apply_async(time_limit=1, max_retries=0).id)
    assert job.state == "dead_letter"
    assert job.error == "TimeLimitExceeded: it ran longer than its time limit of 1 s and was killed"
    attempt = Attempt.objects.get()
    assert (attempt.end, attempt.number) == ("failed", 1)
    assert 1 <= (attempt.finished_at - attempt.started_at).total_seconds() < 5
    assert job.strikes == 0
    wait_until(lambda: not Lease.objects.exists(), what="the lease to be gone")


def test_a_killed_job_is_retried_by_the_policy_and_the_worker_goes_on(working: Fleet, tmp_path: Path) -> None:
    job = ended(stubborn.apply_async(time_limit=0.5, max_retries=1).id)
    assert (job.state, job.attempt, job.retries) == ("dead_letter", 2, 1)
    assert list(Attempt.objects.order_by("number").values_list("end", flat=True)) == ["retried", "failed"]
    mark.delay(str(tmp_path / "ledger")).get(timeout=20)


def test_the_soft_limit_raises_in_the_task_which_may_still_answer(working: Fleet) -> None:
    job = ended(obey.apply_async(soft_time_limit=0.5, time_limit=20).id)
    assert (job.state, job.result) == ("completed", '"tidied up"')


def test_a_kill_within_a_carrier_costs_its_neighbours_nothing(working: Fleet, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    for _ in range(5):
        # Learnt to be short, so that many share a message.
        mark.delay(str(ledger), 0).get(timeout=20)
    with transaction.atomic():
        before = [mark.delay(str(ledger), 0).id for _ in range(20)]
        slow = mark.apply_async([str(ledger), 60], time_limit=0.5, max_retries=0).id
        after = [mark.delay(str(ledger), 0).id for _ in range(20)]
    assert ended(slow).state == "dead_letter"
    for job_id in before + after:
        assert ended(job_id).state == "completed"
    runs = ledger.read_text().split()
    assert sorted(runs.count(job_id) for job_id in [*before, slow, *after]) == [1] * 41


def test_the_soft_limit_reaches_a_coroutine(working: Fleet, tmp_path: Path) -> None:
    job = ended(waits.apply_async([str(tmp_path / "tidied")], soft_time_limit=0.5, max_retries=0).id)
    assert (job.state, job.error) == ("dead_letter", "SoftTimeLimitExceeded: SoftTimeLimitExceeded(0.5,)")
    assert (tmp_path / "tidied").exists()


def test_a_limit_of_celerys_pool_does_not_kill_a_whole_message(fleet: Fleet, tmp_path: Path) -> None:
    fleet.dispatcher()
    fleet.worker("--time-limit=1", "--soft-time-limit=1", slots=1)
    job = ended(mark.delay(str(tmp_path / "ledger"), 2.5).id)
    assert (job.state, job.attempt) == ("completed", 1)


def test_a_site_wide_limit_binds_jobs_that_name_none(fleet: Fleet) -> None:
    fleet.environment["JOBS_TIMEOUT"] = "0.5"
    fleet.dispatcher()
    fleet.worker(slots=1)
    assert "0.5 s" in ended(stubborn.apply_async(max_retries=0).id).error
