"""`async def` tasks in real workers: one loop a child process, or a thread of the pool."""

from pathlib import Path

import pytest

from jobs.engine import cancel
from jobs.engine.newjob import job_key
from jobs.models import Job
from tests.support.fleet import Fleet
from tests.support.tasks import closes_descriptors_in_a_coroutine, sleeps_beside_another, takes_turns
from tests.support.wait import wait_until


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_each_process_or_thread_keeps_its_loop_from_message_to_message(fleet: Fleet, pool: str) -> None:
    fleet.dispatcher()
    fleet.worker("-P", pool, slots=1)
    seen = [takes_turns.delay().get(timeout=30) for _ in range(3)]
    assert seen == [seen[0]] * 3


def test_a_cancelled_coroutine_ends_with_all_that_it_started(fleet: Fleet, tmp_path: Path) -> None:
    fleet.dispatcher()
    fleet.worker(slots=1)
    before = takes_turns.delay().get(timeout=30)
    started, tidied = tmp_path / "started", tmp_path / "tidied"
    job_id = job_key(sleeps_beside_another.delay(str(started), str(tidied)).id)
    wait_until(started.exists, what="the job to start")
    cancel([job_id], actor="tester")
    wait_until(lambda: Job.objects.get(pk=job_id).state == "cancelled", what="the job's end")
    assert tidied.exists()
    assert takes_turns.delay().get(timeout=30) == before, "the process and its loop are the same"


def test_a_coroutine_that_closes_every_descriptor_is_on_record_and_its_process_is_replaced(
    fleet: Fleet,
) -> None:
    fleet.dispatcher()
    fleet.worker(slots=1)
    before = takes_turns.delay().get(timeout=30)
    with pytest.raises(OSError, match="Bad file descriptor"):
        closes_descriptors_in_a_coroutine.apply_async(max_retries=0).get(timeout=30)
    assert takes_turns.delay().get(timeout=30)[0] != before[0]
