"""A carrier under stress: one job of it blocks, or takes its process with it; the others do not pay for that."""

from collections import Counter
from pathlib import Path

import pytest
from django.db import transaction

from jobs.models import Attempt, Job, Lease
from tests.support.fleet import Fleet
from tests.support.tasks import mark
from tests.support.wait import wait_until


def learn(ledger: Path) -> None:
    """Enough short runs that jobs of this task share a message."""
    for _ in range(5):
        mark.delay(str(ledger), 0).get(timeout=20)
    ledger.unlink()


def states(ids: list[str]) -> Counter:
    return Counter(Job.objects.filter(pk__in=ids).values_list("state", flat=True))


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_job_that_blocks_holds_none_behind_it(fleet: Fleet, tmp_path: Path, pool: str) -> None:
    fleet.environment |= {"JOBS_SLOW_JOB_THRESHOLD": "1.5", "JOBS_SHUTDOWN_GRACE": "1"}
    fleet.dispatcher()
    fleet.worker("-P", pool, slots=2)
    ledger = tmp_path / "ledger"
    learn(ledger)
    with transaction.atomic():
        before = [mark.delay(str(ledger), 0).id for _ in range(2)]
        slow = mark.delay(str(ledger), 60).id
        after = [mark.delay(str(ledger), 0).id for _ in range(200)]
    wait_until(lambda: states(before + after) == {"completed": 202}, within=15, what="the others to be done")
    assert states([slow]) == {"running": 1}
    assert set(Counter(ledger.read_text().split()).values()) == {1}
    assert not Attempt.objects.exclude(end="completed").exists()
    assert set(Job.objects.values_list("attempt", flat=True)) == {1}
    log = Path(fleet.log("worker"))
    wait_until(lambda: "jobs given back: the one before them blocks" in log.read_text(), what="the give-back logged")
    wait_until(lambda: "slow job" in log.read_text(), what="the slow job logged")
    # It is only ever the running job that holds a lease now.
    assert Lease.objects.count() == 1
