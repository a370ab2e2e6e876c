"""The same fleet over RabbitMQ."""

from pathlib import Path

import kombu
import pytest
from django.db import transaction

from jobs.models import Attempt, Job, Lease
from jobs.wire import ANY_QUEUE
from tests.support.fleet import Fleet
from tests.support.tasks import mark
from tests.support.wait import wait_until

pytestmark = pytest.mark.rabbitmq
JOBS = 300


@pytest.fixture
def rabbit_fleet(transactional_db: None, tmp_path: Path, rabbitmq_url: str):
    with kombu.Connection(rabbitmq_url) as connection:
        connection.default_channel.queue_declare(ANY_QUEUE, durable=True, auto_delete=False)
        connection.default_channel.queue_purge(ANY_QUEUE)
    fleet = Fleet(tmp_path, rabbitmq_url)
    yield fleet
    fleet.stop()


def test_jobs_run_once_each_over_rabbitmq(rabbit_fleet: Fleet, tmp_path: Path) -> None:
    rabbit_fleet.dispatcher()
    rabbit_fleet.worker()
    with transaction.atomic():
        for _ in range(JOBS):
            mark.delay(str(tmp_path / "ledger"))
    wait_until(lambda: Job.objects.filter(state="completed").count() == JOBS, within=60)
    runs = (tmp_path / "ledger").read_text().split()
    assert len(runs) == len(set(runs)) == JOBS
    assert Attempt.objects.count() == JOBS
    wait_until(lambda: not Lease.objects.exists())
