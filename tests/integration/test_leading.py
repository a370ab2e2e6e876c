"""Who dispatches, and what becomes of leases when dispatcher or broker go away."""

import pytest

from jobs.app import JobsCelery
from jobs.conf import jobs_settings
from jobs.engine.broker import Broker
from jobs.engine.dispatch import Dispatcher
from jobs.engine.link import Link
from jobs.errors import BrokerDown
from jobs.wire import ANY_QUEUE
from tests.support.engine import dispatcher, empty, new_job, opened, row
from tests.support.rows import make_worker
from tests.support.wait import wait_until


def test_while_the_broker_is_away_leases_wait_and_are_sent_when_it_is_back(link: Link, broker: Broker) -> None:
    make_worker(slots=5)
    jobs = [new_job() for _ in range(3)]
    away = JobsCelery("away", broker="redis://127.0.0.1:1/0", set_as_current=False)
    made = dispatcher(link, Broker(away))
    for _ in range(2):
        with pytest.raises(BrokerDown, match="Messages are sent again"):
            made.dispatch()
    assert {row(job).state for job in jobs} <= {"pending", "dispatched"}
    made.broker = broker
    made.dispatch()
    assert {row(job).state for job in jobs} == {"dispatched"}
    assert broker.length(ANY_QUEUE) >= 3


def test_a_broker_that_breaks_while_it_sends_loses_nothing(link: Link, broker: Broker) -> None:
    make_worker(slots=5)
    job = new_job()
    made = dispatcher(link, broker)
    send, broker.send = broker.send, lambda messages: (_ for _ in ()).throw(BrokerDown("gone"))
    with pytest.raises(BrokerDown):
        made.dispatch()
    assert (row(job).state, broker.length(ANY_QUEUE)) == ("dispatched", 0)
    broker.send = send
    made.dispatch()
    assert broker.length(ANY_QUEUE) == 1


def test_a_new_leader_sends_what_the_last_one_may_not_have_sent(link: Link, broker: Broker) -> None:
    make_worker(slots=5)
    new_job()
    dispatcher(link, broker).dispatch()
    empty(broker)
    link.close()
    with opened() as other:
        dispatcher(other, broker).dispatch()
    assert broker.length(ANY_QUEUE) == 1


def test_one_dispatcher_leads_a_set_of_queues_and_others_stand_by(link: Link, broker: Broker) -> None:
    dispatcher(link, broker)
    with opened() as other:
        standby = Dispatcher(other, broker, jobs_settings())
        assert not standby.lead()
        assert Dispatcher(other, broker, jobs_settings(), queues=["a"]).lead()
        link.close()
        wait_until(standby.lead, what="the lock of the connection that was closed")


def test_a_dispatcher_of_some_queues_leaves_the_others_alone(link: Link, broker: Broker) -> None:
    make_worker(slots=5)
    mine, other = new_job(queue="a"), new_job(queue="b")
    dispatcher(link, broker, "a").dispatch()
    assert (row(mine).state, row(other).state) == ("dispatched", "pending")
