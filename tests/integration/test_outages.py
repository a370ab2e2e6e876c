"""A dispatcher goes on by itself when the broker or the database has been away, and says both once."""

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from jobs.app import JobsCelery
from jobs.engine import lead
from jobs.engine.broker import Broker
from jobs.engine.dispatch import Dispatcher
from jobs.engine.link import Link
from tests.support.engine import dispatcher, new_job, row
from tests.support.fleet import Valkey
from tests.support.rows import make_worker
from tests.support.wait import wait_until


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """Not started yet."""
    valkey = Valkey(tmp_path)
    yield valkey
    valkey.kill()


@pytest.fixture
def running(link: Link, valkey: Valkey) -> Iterator[Dispatcher]:
    """A dispatcher that works in a thread of its own."""
    broker = Broker(JobsCelery("own", broker=valkey.url, set_as_current=False))
    made, stop = dispatcher(link, broker, poll_interval=0.01), threading.Event()
    thread = threading.Thread(target=lead.run, args=(made, lambda: None, stop.is_set, lambda: 60.0))
    thread.start()
    yield made
    stop.set()
    thread.join(20)
    broker.close()


def test_a_broker_that_is_away_is_said_once_and_so_is_its_return(valkey: Valkey, running: Dispatcher, caplog) -> None:
    caplog.set_level("INFO", "jobs")
    make_worker(slots=5)
    job = new_job()
    wait_until(lambda: running._turn > 2 and "The broker does not answer" in caplog.text, what="a broker that is away")
    valkey.start()
    wait_until(lambda: row(job).state == "dispatched" and "the broker is back" in caplog.text, what="its return")
    assert caplog.text.count("The broker does not answer") == 1


def test_a_connection_that_was_cut_is_opened_again(valkey: Valkey, running: Dispatcher, caplog) -> None:
    valkey.start()
    make_worker(slots=5)
    with psycopg.connect(running.link._open().info.dsn, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [running.link._open().info.backend_pid])
    wait_until(lambda: "the database does not do its part" in caplog.text, what="a connection that was missed")
    job = new_job()
    wait_until(lambda: row(job).state == "dispatched", what="a dispatcher that leads again")
