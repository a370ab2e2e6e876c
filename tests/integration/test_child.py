"""A lease in a thread of a worker: whatever becomes of it, the answer says it."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from celery import current_app
from django.db import connection
from django.db.backends.signals import connection_created

from jobs.app import child
from jobs.engine.execute import Run, Win, carry_all
from jobs.engine.link import Link
from jobs.engine.slots import Slots
from jobs.models import Lease
from jobs.policy import Outcome
from tests.support.engine import lease, new_job, outcome, placed, row, won
from tests.support.rows import make_worker
from tests.support.tasks import noop

ROOT = Path(__file__).resolve().parents[2]


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


def test_a_lease_is_won_in_the_commit_that_ends_the_one_before_it(link: Link) -> None:
    jobs = [new_job() for _ in range(3)]
    tokens = [lease(link, [job], place=0.1) for job in jobs]
    alike = []

    def run(run: Run) -> Outcome:
        if run.id != jobs[0]:
            before = jobs[jobs.index(run.id) - 1]
            query = "SELECT job.xmin = l.xmin FROM jobs_job AS job, jobs_lease AS l WHERE job.id = %s AND token = %s"
            alike.append(link._open().execute(query, [before, run.token]).fetchone()[0])
        return outcome(run.id)

    with placed(link) as place:
        assert carry_all(tokens, place, run) == (3, ())
        assert not list(place.slots.carrying())
    assert alike == [True, True]
    assert [row(job).state for job in jobs] == ["completed"] * 3


@pytest.mark.parametrize(
    ("error", "went"),
    [(psycopg.errors.LockNotAvailable, False), (psycopg.OperationalError, True)],
    ids=["locked", "away"],
)
def test_what_goes_along_with_an_end_is_undone_with_it(link: Link, error: type[Exception], went: bool) -> None:
    first, second = new_job(), new_job()
    with placed(link) as place:
        token, following = won(link, [first], worker=place.worker), Win(lease(link, [second], place=0.1), place)
        tries = []

        def along(link: Link) -> None:
            following.over(link)
            tries.append(following.rows)
            if len(tries) == 1:
                raise error("at its end")

        place.recorder.open(token)
        place.recorder.add(outcome(first))
        assert place.recorder.close(along=along) is went
    assert row(first).state == "completed"
    assert (Lease.objects.get().won_at is not None) is went, "the first try was undone, the second stands"
    assert len(tries) == 1 + went


def test_a_lease_that_could_not_be_won_along_is_won_by_itself(link: Link, monkeypatch) -> None:
    jobs = [new_job() for _ in range(2)]
    tokens = [lease(link, [job], place=0.1) for job in jobs]
    over = Win.over

    def locked(win: Win, link: Link) -> None:
        over(win, link)
        raise psycopg.errors.LockNotAvailable("someone holds it")

    def run(run: Run) -> Outcome:
        assert Lease.objects.get(token=run.token).won_at is not None
        return outcome(run.id)

    monkeypatch.setattr(Win, "over", locked)
    with placed(link) as place:
        assert carry_all(tokens, place, run) == (2, ())
    assert [row(job).state for job in jobs] == ["completed"] * 2
    assert not Lease.objects.exists()


@pytest.mark.parametrize(("chosen", "kept"), [("", (10_000, 10, 10)), ("gc.set_threshold(500, 5, 5)", (500, 5, 5))])
def test_cycles_are_looked_for_less_often_unless_the_site_has_chosen_how_often(chosen: str, kept: tuple) -> None:
    code = f"""
import gc, django
django.setup()
from jobs.app.child import _collect_less_often
{chosen}
_collect_less_often()
print(gc.get_threshold(), gc.get_freeze_count() > 10_000)
"""
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == f"{kept} True", said.stderr
