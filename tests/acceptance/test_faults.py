"""What people leave Celery for: processes killed in the middle of 1,000 jobs, and every job ends completed."""

import os
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from django.db import connection, transaction

from jobs.models import Attempt, Job, Lease
from tests.support.fleet import Fleet, Valkey, children, kill
from tests.support.tasks import mark
from tests.support.wait import wait_until

JOBS = 1000
MIDDLE = 200


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """Where jobs write that they ran, outside the database under test."""
    return tmp_path / "ledger"


def submit(ledger: Path) -> None:
    with transaction.atomic():
        for _ in range(JOBS):
            mark.delay(str(ledger))


def completed() -> int:
    return Job.objects.filter(state="completed").count()


def until_the_middle() -> None:
    wait_until(lambda: completed() >= MIDDLE, within=60, what=f"{MIDDLE} jobs completed")
    assert completed() < JOBS - MIDDLE, "the fault would come too late to matter"


def frozen_at_work(worker: subprocess.Popen) -> bool:
    """Stop the worker with all its children; if no job is in its hands just then, let it go on."""
    os.killpg(worker.pid, signal.SIGSTOP)
    wait_until(lambda: not statements_under_way(), what="what was sent before to be done")
    if Job.objects.filter(lease__in=Lease.objects.filter(won_at__isnull=False).values("token")).exists():
        return True
    os.killpg(worker.pid, signal.SIGCONT)
    return False


def statements_under_way() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_stat_activity"
            " WHERE application_name LIKE 'jobs worker%' AND state = 'active')"
        )
        return cursor.fetchone()[0]


def until_all_end() -> None:
    wait_until(lambda: completed() == JOBS, within=90, what=f"all {JOBS} completed, not {Counter(states())}")


def states() -> list[str]:
    return list(Job.objects.values_list("state", flat=True))


def assert_attempts_explain_every_run(ledger: Path) -> None:
    """Nothing ran that no attempt row tells of, each job completed once, and no lease is left."""
    runs = Counter(ledger.read_text().split())
    attempts = Counter(str(id_) for id_ in Attempt.objects.values_list("job_id", flat=True))
    ends = Counter(Attempt.objects.values_list("end", flat=True))
    assert set(runs) == set(attempts)
    assert {job: (runs[job], attempts[job]) for job in runs if runs[job] > attempts[job]} == {}
    assert ends["completed"] == JOBS
    assert set(ends) <= {"completed", "lost"}
    assert sum(attempts.values()) == sum(Job.objects.values_list("attempt", flat=True))
    assert not Lease.objects.exists()


def test_a_killed_worker_child_costs_one_attempt_and_no_job(fleet: Fleet, ledger: Path) -> None:
    fleet.dispatcher()
    worker = fleet.worker()
    submit(ledger)
    until_the_middle()
    os.kill(children(worker)[0], signal.SIGKILL)
    until_all_end()
    assert_attempts_explain_every_run(ledger)


def test_a_killed_worker_is_replaced_and_its_jobs_run_again(fleet: Fleet, ledger: Path) -> None:
    fleet.dispatcher()
    worker = fleet.worker()
    submit(ledger)
    until_the_middle()
    wait_until(lambda: frozen_at_work(worker), what="the worker in the middle of a lease")
    kill(worker)
    fleet.worker()
    until_all_end()
    assert Attempt.objects.filter(end="lost").exists()
    assert_attempts_explain_every_run(ledger)


def test_a_killed_worker_that_nobody_replaces_on_its_host_is_noticed_by_its_silence(fleet: Fleet, ledger: Path) -> None:
    fleet.dispatcher()
    worker = fleet.worker()
    fleet.worker(name="other")
    submit(ledger)
    until_the_middle()
    kill(worker)
    until_all_end()
    assert_attempts_explain_every_run(ledger)


def test_a_killed_dispatcher_is_replaced_and_goes_on_where_it_was(fleet: Fleet, ledger: Path) -> None:
    dispatcher = fleet.dispatcher()
    fleet.worker()
    submit(ledger)
    until_the_middle()
    kill(dispatcher)
    fleet.dispatcher()
    until_all_end()
    assert_attempts_explain_every_run(ledger)


def test_a_standby_dispatcher_takes_over(fleet: Fleet, ledger: Path) -> None:
    dispatcher = fleet.dispatcher()
    fleet.dispatcher()
    fleet.worker()
    submit(ledger)
    until_the_middle()
    kill(dispatcher)
    until_all_end()
    assert_attempts_explain_every_run(ledger)


def test_a_broker_that_is_killed_and_loses_its_data_loses_no_job(fleet: Fleet, broker: Valkey, ledger: Path) -> None:
    fleet.dispatcher()
    fleet.worker()
    submit(ledger)
    until_the_middle()
    broker.kill()
    broker.start()
    until_all_end()
    assert_attempts_explain_every_run(ledger)


def test_a_stopped_broker_delays_jobs_and_not_their_callers(fleet: Fleet, broker: Valkey, ledger: Path) -> None:
    fleet.dispatcher()
    fleet.worker()
    broker.kill()
    result = mark.delay(str(ledger))
    assert result.state == "PENDING"
    broker.start()
    result.get(timeout=30)
    assert ledger.read_text().split() == [result.id]
