"""The worker's books are kept by one thread, which nothing may end."""

import logging
import threading
from collections.abc import Iterator

import psycopg
import pytest
from celery import _state
from celery.worker import state
from django.db import connection

from jobs.app import child
from jobs.app.steward import Steward, behind
from jobs.engine.link import Link
from jobs.errors import UniqueBusy
from jobs.models import AuditEntry, Lease, Worker
from tests.support.engine import lease, new_job, outcome, row, unsent, won
from tests.support.statements import finish
from tests.support.wait import wait_until


@pytest.fixture
def steward(transactional_db: None, settings, monkeypatch) -> Iterator[Steward]:
    """That of a worker which is registered but takes no message; its thread keeps the books."""
    settings.JOBS_HEARTBEAT_INTERVAL = 0.05
    monkeypatch.setattr(child, "_shared", None)  # put back what a steward shares with the children of its process
    monkeypatch.setattr(_state, "_task_join_will_block", False)  # and what Celery's pool sets for good
    app = unsent()
    app.steps["worker"].add(Steward)
    worker = app.WorkController(hostname="books@test", pool="solo")
    worker.served_queues = None
    steward = worker.steward
    steward._register()
    thread = threading.Thread(target=steward._serve, daemon=True)
    thread.start()
    yield steward
    steward._work.put(None)
    thread.join(10)
    for opened in (steward._link, steward._waker, steward._woken):
        opened.close()


class Unreadable:
    """Something of Celery's that breaks as soon as it is looked at."""

    @property
    def enabled(self) -> bool:
        raise RuntimeError("nobody can tell")


def heartbeat(steward: Steward):
    return Worker.objects.get(id=steward.boot).heartbeat_at


def test_heartbeats_go_on_when_it_cannot_be_seen_who_listens(steward: Steward, caplog) -> None:
    caplog.set_level(logging.WARNING, "jobs")
    steward.worker.consumer.event_dispatcher = Unreadable()
    wait_until(lambda: "nobody can tell" in caplog.text, what="a look that failed")
    seen = heartbeat(steward)
    wait_until(lambda: heartbeat(steward) > seen, what="a heartbeat after it")


def test_work_that_breaks_is_logged_and_the_next_is_done(steward: Steward, caplog) -> None:
    caplog.set_level(logging.WARNING, "jobs")
    steward._work.put(lambda: 1 / 0)
    steward.refuse("forged", "not one of ours")
    wait_until(AuditEntry.objects.filter(resource_id="forged").exists, what="the audit of a refused message")
    assert "ZeroDivisionError" in caplog.text


def test_a_worker_that_was_presumed_dead_starts_anew(steward: Steward, caplog) -> None:
    before = steward.boot
    connection.cursor().execute("UPDATE jobs_worker SET lost_at = now() WHERE id = %s", [before])
    wait_until(lambda: steward.boot != before and Worker.objects.filter(id=steward.boot).exists(), what="a new boot")
    assert "its jobs went to others, it starts anew" in caplog.text
    assert Worker.objects.get(id=before).lost_at is not None


@pytest.mark.parametrize(
    "error", [psycopg.OperationalError(), UniqueBusy("mail.send", "k", "waited 2 s"), RuntimeError("a bug")], ids=repr
)
def test_work_that_failed_is_done_after_the_next_heartbeat(steward: Steward, error: Exception) -> None:
    done: list[str] = []

    def work() -> None:
        done.append("tried")
        if len(done) == 1:
            raise error

    steward._later(work)
    wait_until(lambda: len(done) == 2, what="the second try")


def test_of_a_lost_message_what_began_is_lost_and_the_rest_goes_back(steward: Steward, link: Link) -> None:
    ended, begun, waits = (new_job() for _ in range(3))
    tokens = [won(link, [ended], worker=steward.boot), won(link, [begun], worker=steward.boot), lease(link, [waits])]
    finish(link, tokens[0], outcome(ended))
    steward.lost_message(tokens, "its process died")
    wait_until(lambda: not Lease.objects.exists(), what="every lease taken back")
    assert [row(job).state for job in (ended, begun, waits)] == ["completed", "pending", "pending"]
    assert [row(job).attempt for job in (ended, begun, waits)] == [1, 1, 0]


def test_of_a_lost_message_what_another_worker_has_won_stays_with_it(steward: Steward, link: Link) -> None:
    theirs = won(link, [new_job()])
    mine = won(link, [new_job()], worker=steward.boot)
    steward.lost_message([theirs, mine], "its process died")
    wait_until(lambda: not Lease.objects.filter(pk=mine).exists(), what="its own lease taken back")
    assert Lease.objects.filter(pk=theirs).exists()


def test_a_worker_that_ends_gives_back_every_lease_of_a_message_that_no_child_came_to(
    steward: Steward, link: Link
) -> None:
    class Reserved:
        tokens = [lease(link, [new_job()]) for _ in range(2)]

    request = Reserved()
    state.reserved_requests.add(request)
    assert behind(Reserved.tokens[0]) == Reserved.tokens[1:]
    assert list(behind(Reserved.tokens[1])) == []
    steward._finish()
    wait_until(lambda: not Lease.objects.exists(), what="both leases taken back")
    state.reserved_requests.discard(request)
