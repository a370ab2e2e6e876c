"""Child processes of a worker: replaced in good order, lost in bad order, and nobody else pays for it."""

import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from django.db import transaction

from jobs.models import Attempt, Job, Lease
from tests.support.fleet import Fleet, children, kill
from tests.support.tasks import closes_descriptors, deaf, mark, my_pid
from tests.support.wait import wait_until


def assert_each_ran_once() -> None:
    assert set(Attempt.objects.values_list("end", flat=True)) == {"completed"}
    assert set(Job.objects.values_list("attempt", flat=True)) == {1}
    wait_until(lambda: not Lease.objects.exists(), what="no lease left")


def two_children() -> list[int]:
    """Run jobs one after the other until they are run by another process."""
    seen = [my_pid.delay().get(timeout=30)]
    wait_until(lambda: seen.append(my_pid.delay().get(timeout=30)) or seen[-1] != seen[0], what="another child")
    return seen


@pytest.mark.parametrize("arguments", [[], ["--max-tasks-per-child", "2"]], ids=["setting", "flag"])
def test_a_child_is_replaced_after_so_many_jobs_and_no_lease_is_lost(fleet: Fleet, arguments: list[str]) -> None:
    if not arguments:
        fleet.environment["JOBS_MAX_JOBS_PER_CHILD"] = "20"
    fleet.dispatcher()
    fleet.worker(*arguments, slots=1)
    ran = len(two_children()) - 1
    assert ran >= (20 if not arguments else 2)
    assert_each_ran_once()


def test_a_child_is_replaced_when_it_has_used_much_memory(fleet: Fleet) -> None:
    fleet.environment["JOBS_MAX_MEMORY_PER_CHILD"] = "1"
    fleet.dispatcher()
    fleet.worker(slots=1)
    assert len(two_children()) == 2
    assert_each_ran_once()


def test_a_task_that_closes_every_descriptor_is_on_record_and_its_process_is_replaced(fleet: Fleet) -> None:
    fleet.dispatcher()
    fleet.worker(slots=1)
    pid = closes_descriptors.delay().get(timeout=30)
    assert my_pid.delay().get(timeout=30) != pid
    assert "a task closed descriptors that are not its own" in Path(fleet.log("worker")).read_text()
    assert_each_ran_once()


@pytest.mark.parametrize("most", ["400", "1"], ids=["in one lease", "each in its own"])
def test_a_death_is_seen_at_once_at_the_defaults_and_costs_the_job_alone(
    fleet: Fleet, tmp_path: Path, most: str
) -> None:
    fleet.environment["JOBS_CARRIER_MAX"] = most
    for name in ("JOBS_HEARTBEAT_INTERVAL", "JOBS_WORKER_TIMEOUT", "JOBS_DISPATCH_TIMEOUT"):
        fleet.environment.pop(name)
    fleet.dispatcher()
    worker = fleet.worker(slots=2)
    ledger = tmp_path / "ledger"
    for _ in range(5):
        mark.delay(str(ledger), 0).get(timeout=20)
    with transaction.atomic():
        first = [mark.delay(str(ledger), 0).id for _ in range(3)]
        victim = mark.delay(str(ledger), 60).id
        others = [mark.delay(str(ledger), 0).id for _ in range(40)]
    wait_until(lambda: victim in ledger.read_text().split(), what="the job to start")
    ended = Job.objects.filter(pk__in=[*first, *others], state="completed")
    wait_until(lambda: ended.count() == 43, what="those before it on record, those behind it run elsewhere")
    for pid in children(worker):  # as the kernel does that is out of memory
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: Attempt.objects.filter(end="lost").exists(), within=5, what="the death on record")
    wait_until(lambda: ledger.read_text().split().count(victim) == 2, what="the second start")
    runs = Counter(ledger.read_text().split())
    assert {job for job, times in runs.items() if times > 1} == {victim}
    assert [str(id_) for id_ in Attempt.objects.filter(end="lost").values_list("job_id", flat=True)] == [victim]


def test_a_worker_killed_with_all_its_children_is_seen_when_one_starts_again(fleet: Fleet, tmp_path: Path) -> None:
    for name in ("JOBS_HEARTBEAT_INTERVAL", "JOBS_WORKER_TIMEOUT", "JOBS_DISPATCH_TIMEOUT"):
        fleet.environment.pop(name)
    fleet.environment["JOBS_SHUTDOWN_GRACE"] = "1"
    fleet.dispatcher()
    worker = fleet.worker(slots=1)
    result = deaf.delay(str(tmp_path / "started"))
    wait_until((tmp_path / "started").exists, what="the job to start")
    kill(worker)
    fleet.worker(slots=1)
    wait_until(lambda: Attempt.objects.filter(job_id=result.id, end="lost").exists(), within=5, what="the loss seen")
