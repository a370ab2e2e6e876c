"""Races over the same rows, with real threads and connections."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import psycopg
import pytest
from django.db import transaction

from jobs.conf import jobs_settings
from jobs.engine.dispatch import front
from jobs.engine.enqueue import enqueue
from jobs.engine.finish import columns_of
from jobs.engine.link import Link
from jobs.engine.maintenance import Sweeper
from jobs.engine.newjob import NewJob
from jobs.models import Attempt, Job, Lease
from tests.support.engine import NODE, lease, leases, new_job, opened, outcome, row, win, won
from tests.support.rows import make_worker
from tests.support.threads import together
from tests.support.wait import wait_until

LOST = {"strike": True, "begun": None, "reason": "x", "poison_after": 100, "poison_error": ""}


def test_no_job_is_leased_twice_by_dispatchers_that_work_at_once(link: Link) -> None:
    jobs = {new_job() for _ in range(400)}

    def claim() -> list:
        claimed = []
        with opened() as own:
            while True:
                with own.transaction():
                    ids = [found.id for found in front(own, "default", limit=7)]
                    if not ids:
                        return claimed
                    tokens = [uuid4() for _ in ids]
                    own.rows("dispatch", queue="default", routing_key="x", ids=ids, tokens=tokens, places=None)
                claimed += ids

    claimed = [job for part in together(claim, claim, claim) for job in part]
    assert len(claimed) == len(set(claimed))
    left = Job.objects.filter(state="pending").count()
    assert len(claimed) + left == len(jobs)
    assert Lease.objects.count() == len(claimed)
    assert set(Job.objects.filter(state="dispatched").values_list("attempt", flat=True)) == {1}


@pytest.mark.parametrize("workers", [2, 5])
def test_a_message_delivered_to_several_workers_is_won_by_one(link: Link, workers: int) -> None:
    for _ in range(10):
        token, boot = lease(link, [new_job()]), make_worker()

        def take(token=token, boot=boot) -> int:
            with opened() as own:
                return len(win(own, token, worker=boot))

        assert sum(together(*[take] * workers)) == 1


def test_a_lease_is_either_won_or_taken_back(link: Link) -> None:
    boot = make_worker()
    for _ in range(25):
        job = new_job()
        token = lease(link, [job])

        def take(token=token) -> int:
            with opened() as own:
                return len(win(own, token, worker=boot))

        def back(token=token) -> int:
            with opened() as own:
                return own.rows("lose", worker=None, token=token, won=False, **LOST)[0][1]

        took, returned = together(take, back)
        assert took + returned == 1
        assert (row(job).state, row(job).attempt) == (("running", 1) if took else ("pending", 0))


def test_an_outcome_and_a_loss_at_the_same_moment_never_both_count(link: Link) -> None:
    slowest = 0.0
    for _ in range(15):
        jobs = [new_job() for _ in range(6)]
        token = won(link, jobs)

        def finish(token=token, jobs=jobs) -> int:
            with opened() as own:
                batch = columns_of([outcome(job) for job in reversed(jobs)], token=token, node=NODE, done=True)
                return len(own.rows("finish", **batch))

        def lose(token=token) -> int:
            with opened() as own:
                return own.rows("lose", worker=None, token=token, won=True, **LOST)[0][0]

        began = time.monotonic()
        done, lost = together(finish, lose)
        slowest = max(slowest, time.monotonic() - began)
        assert {done, lost} == {0, 6}
        assert {row(job).state for job in jobs} == {"completed" if done else "pending"}
        assert Attempt.objects.filter(job_id__in=jobs).count() == 6
    assert slowest < 5.0, "they must not wait for each other's deadlock"
    assert leases() == []


def test_partial_outcomes_and_a_loss_leave_every_job_in_one_place(link: Link) -> None:
    for _ in range(15):
        jobs = [new_job() for _ in range(6)]
        token = won(link, jobs)

        def flush(token=token, jobs=jobs) -> int:
            with opened() as own:
                moved = 0
                for job in reversed(jobs):
                    try:
                        moved += len(
                            own.rows("finish", **columns_of([outcome(job)], token=token, node=NODE, done=False))
                        )
                    except (psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable):
                        continue
                return moved

        def lose(token=token) -> int:
            with opened() as own:
                return own.rows("lose", worker=None, token=token, won=True, **LOST)[0][0]

        done, lost = together(flush, lose)
        assert done + lost == 6
        assert Job.objects.filter(pk__in=jobs, state="completed").count() == done
        assert Attempt.objects.filter(job_id__in=jobs).count() == 6


def test_many_producers_of_one_id_make_one_job(link: Link) -> None:
    for state in ("new", "finished"):
        id_ = uuid4()
        if state == "finished":
            link.rows("finish", **columns_of([outcome(id_)], token=won(link, [new_job(id=id_)]), node=NODE, done=True))
        together(*[lambda id_=id_: enqueue(NewJob(task="t", id=id_))] * 8)
        assert row(id_).epoch == (1 if state == "new" else 2)
        assert row(id_).state == "pending"


def test_a_producer_waits_for_the_twin_that_has_not_committed(link: Link) -> None:
    id_ = uuid4()
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            enqueue(NewJob(task="first", id=id_))
            second = pool.submit(together, lambda: enqueue(NewJob(task="second", id=id_)))
            wait_until(lambda: waiting(link), within=10, what="the second insert waits for the first")
        second.result(10)
    assert row(id_).task == "first"


def waiting(link: Link) -> int:
    return link._open().execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()[0]


def test_no_claim_or_finish_in_progress_looks_like_a_lost_lease(link: Link) -> None:
    over = threading.Event()
    boot = make_worker()

    def work() -> None:
        with opened() as own:
            for _ in range(60):
                ids = [new_job() for _ in range(5)]
                token = lease(own, ids)
                win(own, token, worker=boot)
                outcomes = columns_of([outcome(id_) for id_ in ids], token=token, node=NODE, done=True)
                assert len(own.rows("finish", **outcomes)) == len(ids)
        over.set()

    def look() -> int:
        found = 0
        with opened() as own:
            while not over.is_set():
                sweeper = Sweeper(own, jobs_settings())
                sweeper._adopt_at = 0.0
                found += sweeper.adopt()
        return found

    assert together(work, look, look)[1:] == [0, 0]
    assert set(Job.objects.values_list("state", flat=True)) == {"completed"}
