"""The same carriers in Celery's other pools: threads, and the worker's own thread."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import current_app

from jobs.engine import cancel
from jobs.engine.broker import Broker
from jobs.engine.newjob import job_key
from jobs.models import Attempt, AuditEntry, Job, Lease
from jobs.wire import ANY_QUEUE
from tests.support.fleet import Fleet
from tests.support.tasks import add, fail, leave, mark, polite, untracked
from tests.support.wait import wait_until


@pytest.fixture
def fleet(transactional_db: None, tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path, os.environ["BROKER_URL"])
    yield fleet
    fleet.stop()


def forge(*messages: tuple[str | None, Any]) -> None:
    """Write to the broker what the platform never writes: a task's name with its arguments, or any body at all."""
    broker = Broker(current_app._get_current_object())
    broker.length(ANY_QUEUE)
    with current_app.amqp.Producer(broker._connection, auto_declare=False) as producer:
        for task, given in messages:
            known = {"lang": "py", "task": task, "id": "forged", "root_id": "forged", "parent_id": None, "retries": 0}
            body, headers = (given, {}) if task is None else ([given, {}, {}], known)
            producer.publish(body, exchange="", routing_key=ANY_QUEUE, serializer="json", headers=headers)
    broker.close()


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_every_pool_runs_jobs_refuses_forged_messages_and_ends_in_good_order(
    fleet: Fleet, tmp_path: Path, pool: str
) -> None:
    worker = fleet.worker("-P", pool)
    fleet.dispatcher()
    forge(
        ("jobs.run", ["x"]),
        ("jobs.run", [1, "no token"]),
        (leave.name, [str(tmp_path), "forged"]),
        ("not.a.task", [1]),
        (None, {"task": "not.a.task.either"}),
        (None, {"nothing": "of Celery's"}),
        (None, {"task": untracked.name, "id": "forged", "kwargs": 3}),
    )
    results = [add.delay(n, n) for n in range(60)]
    broken = fail.apply_async(max_retries=0)
    assert [result.get(timeout=30) for result in results] == [2 * n for n in range(60)]
    with pytest.raises(ValueError, match="no luck"):
        broken.get(timeout=30)
    refused = AuditEntry.objects.filter(action="refuse_message")
    wait_until(lambda: refused.count() == 7, what="refused messages on record")
    unknown = AuditEntry.objects.get(resource_id="not.a.task")
    assert unknown.detail == {"detail": "no task of this name is registered here"}
    without_an_id, no_task, invalid = refused.filter(resource_id="(no task)").order_by("id")
    assert without_an_id.detail == unknown.detail
    assert no_task.detail["detail"].startswith("not a task's message: b'{")
    assert invalid.detail == {"detail": "an invalid message: Task keyword arguments must be a mapping"}
    assert not (tmp_path / "forged").exists()
    assert not Lease.objects.exists()
    assert set(Job.objects.values_list("attempt", flat=True)) == {1}
    worker.terminate()
    assert worker.wait(20) == 0


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_every_pool_retries_by_the_policy_and_lets_jobs_be_cancelled(fleet: Fleet, tmp_path: Path, pool: str) -> None:
    fleet.dispatcher()
    fleet.worker("-P", pool, slots=1)
    broken = fail.apply_async(max_retries=2)
    with pytest.raises(ValueError, match="no luck"):
        broken.get(timeout=30)
    ends = Attempt.objects.filter(job_id=broken.id).order_by("number").values_list("end", flat=True)
    assert list(ends) == ["retried", "retried", "failed"]

    started = tmp_path / "started"
    running, waiting = polite.delay(str(started)), leave.delay(str(tmp_path), "never")
    wait_until(started.exists, what="the job to start")
    # Its message is with the broker, or with this worker, whose only thread is taken.
    wait_until(lambda: Job.objects.get(pk=waiting.id).state == "dispatched", what="the other job to be sent")
    assert cancel([job_key(waiting.id)], actor="tester").now == [job_key(waiting.id)]
    assert cancel([job_key(running.id)], actor="tester").asked == [job_key(running.id)]
    assert running.get(timeout=30) == "stopped by itself"
    assert add.delay(1, 2).get(timeout=30) == 3, "the worker goes on"
    assert Job.objects.get(pk=waiting.id).state == "cancelled"
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_a_job_over_its_limit_on_a_pool_that_cannot_end_it_is_said_and_kept(
    fleet: Fleet, tmp_path: Path, pool: str
) -> None:
    fleet.dispatcher()
    fleet.worker("-P", pool, slots=1)
    job_id = mark.apply_async([str(tmp_path / "ledger"), 1.5], time_limit=0.5).id
    wait_until(lambda: Job.objects.get(pk=job_id).state == "completed", what="the job's end")
    said = "a job is over its time limit, but this pool can't enforce it: run it on a prefork worker"
    assert Path(fleet.log("worker")).read_text().count(said) == 1


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_a_worker_refuses_to_start_on_a_pool_that_cannot_keep_its_limits(fleet: Fleet, pool: str) -> None:
    fleet.environment |= {"JOBS_TIMEOUT": "5", "JOBS_MAX_MEMORY_PER_CHILD": "100000"}
    process = fleet.start("worker", "-m", "celery", "-A", "jobsite", "worker", "-P", pool)
    assert process.wait(60) == 1
    said = Path(fleet.log("worker")).read_text()
    assert "JOBS_TIMEOUT and JOBS_MAX_MEMORY_PER_CHILD can't hold on a worker with a pool of" in said
    assert "Start it with -P prefork, or without the setting" in said
    assert "Traceback" not in said
