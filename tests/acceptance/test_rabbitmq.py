"""The same fleet over RabbitMQ."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import kombu
import pytest
from django.db import transaction

from jobs.models import Attempt, Job, Lease
from jobs.wire import ANY_QUEUE
from jobsite.soak.proxy import Edge, Proxy
from tests.support.fleet import Fleet
from tests.support.tasks import mark, noop
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


def test_a_worker_outlives_connections_that_the_broker_still_takes_for_alive(
    rabbit_fleet: Fleet, rabbitmq_url: str
) -> None:
    rabbit = urlsplit(rabbitmq_url)
    edge = Edge("worker–broker", lambda: asyncio.open_connection(rabbit.hostname, rabbit.port or 5672))
    Proxy([edge]).start()
    user = rabbit.netloc.rpartition("@")[0]
    rabbit_fleet.dispatcher()
    rabbit_fleet.environment["BROKER_URL"] = urlunsplit(rabbit._replace(netloc=f"{user}@127.0.0.1:{edge.port}"))
    worker = rabbit_fleet.worker()
    log = Path(rabbit_fleet.log("worker"))
    for times in (1, 2):
        edge.sever()
        wait_until(
            lambda times=times: log.read_text().count("Connected to amqp") > times or rabbit_fleet.gone(worker),
            what="a new connection",
        )
        done = noop.delay()
        # A consumer that is gone takes its prefetch of messages with it, and each lease has to run out.
        wait_until(lambda done=done: done.status == "SUCCESS" or rabbit_fleet.gone(worker), within=90, what="a job")
    edge.farewell()
