"""A lease in a thread of a worker: whatever becomes of it, the answer says it."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from celery import current_app
from django.db import connection
from django.db.backends.signals import connection_created

from jobs.app import child
from jobs.engine.link import Link
from jobs.engine.slots import Slots
from tests.support.engine import lease, new_job, row
from tests.support.rows import make_worker
from tests.support.tasks import noop


@pytest.fixture
def slots(monkeypatch) -> Iterator[Slots]:
    """Shared with the threads of this process, as a worker does it."""
    for name in ("_shared", "_threads"):
        monkeypatch.setattr(child, name, {})
    monkeypatch.setattr(child, "_here", threading.local())
    slots = Slots(4)
    child.share(current_app._get_current_object(), "worker@test", slots, 0)
    yield slots
    connection_created.disconnect(dispatch_uid="jobs.tidy")  # a worker's child listens for good


def carried(*messages) -> list:
    """Carry messages of leases in one thread, which closes its connections at its end."""

    def in_turn() -> list:
        answers = [child.carry_here([str(token) for token in tokens], str(boot)) for tokens in messages]
        child._child().place.link.close()
        return answers

    boot = make_worker()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(in_turn).result()


def test_a_lease_that_cannot_be_read_is_answered_with_the_reason_and_harms_no_other(link: Link, slots, caplog) -> None:
    broken, sound = new_job(task=noop.name), new_job(task=noop.name)
    tokens = [lease(link, [broken]), lease(link, [sound])]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_lease SET payload = '{' WHERE token = %s", [tokens[0]])
    why, ran = carried(tokens[:1], tokens[1:])
    assert why.startswith("JSONDecodeError: ")
    assert ran == 1
    assert "a lease was not carried to its end" in caplog.text
    assert (row(broken).state, row(broken).lease) == ("running", tokens[0]), "until it is taken back"
    assert row(sound).state == "completed"


def test_the_leases_of_a_message_are_carried_one_after_the_other(link: Link, slots) -> None:
    jobs = [new_job(task=noop.name) for _ in range(3)]
    assert carried([lease(link, [job]) for job in jobs]) == [3]
    assert [row(job).state for job in jobs] == ["completed"] * 3


@pytest.mark.parametrize("why", ["stopping", "late"])
def test_what_a_child_does_not_come_to_goes_back_unharmed(link: Link, slots, settings, why: str) -> None:
    if why == "stopping":
        slots.stopping = True
    else:
        settings.JOBS_CARRIER_BUDGET = 0.0
    jobs = [new_job(task=noop.name) for _ in range(3)]
    assert carried([lease(link, [job]) for job in jobs]) == [1]
    assert [row(job).state for job in jobs] == ["completed", "pending", "pending"]
    assert [row(job).attempt for job in jobs] == [1, 0, 0]


def test_behind_a_lease_that_breaks_none_of_its_message_is_carried(link: Link, slots) -> None:
    broken, sound = new_job(task=noop.name), new_job(task=noop.name)
    tokens = [lease(link, [broken]), lease(link, [sound])]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_lease SET payload = '{' WHERE token = %s", [tokens[0]])
    (why,) = carried(tokens)
    assert why.startswith("JSONDecodeError: ")
    assert row(sound).state == "dispatched", "until the main process takes it back"
