"""A queue that the broker refuses is nobody's trouble but its own."""

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import kombu
import pytest
from celery import current_app

from jobs.app import JobsCelery
from jobs.engine.broker import Broker
from jobs.engine.link import Link
from jobs.errors import BrokerDown, QueueRefused
from jobs.models import Job
from jobsite.soak.proxy import Edge, Proxy
from tests.support.engine import dispatcher, new_job, row
from tests.support.rows import make_worker
from tests.support.wait import wait_until

BAD, GOOD = "tests.refused", "tests.taken"


@pytest.fixture
def rabbit(rabbitmq_url: str) -> Iterator[Broker]:
    """A broker connection, beside a queue BAD that somebody declared with other properties."""
    with kombu.Connection(rabbitmq_url) as connection:
        for name in (BAD, GOOD):
            connection.default_channel.queue_delete(name)
        connection.default_channel.queue_declare(BAD, durable=False, auto_delete=False)
        app = JobsCelery("rabbit", broker=rabbitmq_url, set_as_current=False)
        broker = Broker(app, clock=lambda: clock[0])
        clock[0] = 0.0
        yield broker
        broker.close()
        for name in (BAD, GOOD):
            connection.default_channel.queue_delete(name)


clock = [0.0]


def refusals(caplog) -> int:
    return sum("the broker refuses the queue 'tests.refused'" in record.message for record in caplog.records)


@pytest.mark.rabbitmq
def test_leases_for_other_queues_are_sent(rabbit: Broker, caplog) -> None:
    rabbit.send([(GOOD, [uuid4()]), (BAD, [uuid4()]), (GOOD, [uuid4()]), (BAD, [uuid4()])])
    wait_until(lambda: rabbit.length(GOOD) == 2)
    with pytest.raises(QueueRefused):
        rabbit.length(BAD)
    rabbit.send([(BAD, [uuid4()])])
    assert refusals(caplog) == 1
    assert rabbit.length(GOOD) == 2


@pytest.mark.rabbitmq
def test_a_refused_queue_is_tried_again_and_said_once(rabbit: Broker, rabbitmq_url: str, caplog) -> None:
    for clock[0] in (0.0, 31.0, 62.0):
        with pytest.raises(QueueRefused):
            rabbit.length(BAD)
    assert refusals(caplog) == 1
    with kombu.Connection(rabbitmq_url) as connection:
        connection.default_channel.queue_delete(BAD)
    with pytest.raises(QueueRefused):
        rabbit.length(BAD)
    clock[0] = 93.0
    rabbit.send([(BAD, [uuid4()])])
    wait_until(lambda: rabbit.length(BAD) == 1)


@pytest.mark.rabbitmq
def test_jobs_of_a_refused_queue_wait_in_the_database_and_others_go(rabbit: Broker, link: Link) -> None:
    make_worker(queues=[BAD, GOOD], slots=4)
    stuck, goes = [new_job(queue=BAD) for _ in range(3)], [new_job(queue=GOOD) for _ in range(3)]
    made = dispatcher(link, rabbit)
    for _ in range(3):
        made.dispatch()
    assert {row(job).state for job in stuck} == {"pending"}
    assert {row(job).state for job in goes} == {"dispatched"}
    assert set(Job.objects.filter(pk__in=stuck).values_list("attempt", flat=True)) == {0}


@pytest.mark.rabbitmq
def test_messages_are_sent_when_the_broker_has_said_that_it_has_them(
    rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rabbit = urlsplit(rabbitmq_url)
    edge = Edge("dispatcher–broker", lambda: asyncio.open_connection(rabbit.hostname, rabbit.port or 5672))
    Proxy([edge]).start()
    user = rabbit.netloc.rpartition("@")[0]
    url = urlunsplit(rabbit._replace(netloc=f"{user}@127.0.0.1:{edge.port}"))
    broker = Broker(JobsCelery("edge", broker=url, set_as_current=False))
    broker.send([(GOOD, [uuid4()]), (GOOD, [uuid4()])])
    monkeypatch.setattr("jobs.engine.broker.CONFIRMED", 0.2)
    edge.hold()
    with pytest.raises(BrokerDown):
        broker.send([(GOOD, [uuid4()])])
    edge.release()
    monkeypatch.undo()
    broker.send([(GOOD, [uuid4()]), (GOOD, [uuid4()])])
    assert broker.length(GOOD) >= 4
    with kombu.Connection(rabbitmq_url) as connection:
        connection.default_channel.queue_delete(GOOD)
    broker.close()


def test_a_key_of_another_kind_in_redis_is_a_refused_queue(transactional_db, caplog) -> None:
    connection = current_app.connection_for_write()
    client = connection.default_channel.client
    client.delete(GOOD)
    client.set(BAD, "not a list")
    broker = Broker(current_app._get_current_object())
    try:
        broker.send([(BAD, [uuid4()]), (GOOD, [uuid4()])])
        assert broker.length(GOOD) == 1
        with pytest.raises(QueueRefused):
            broker.length(BAD)
        assert refusals(caplog) == 1
    finally:
        broker.close()
        client.delete(BAD, GOOD)
        connection.release()
