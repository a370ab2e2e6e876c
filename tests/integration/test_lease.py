"""Leases: won once, fenced by their token, taken back with what the worker left."""

from dataclasses import replace
from uuid import uuid4

import pytest

from jobs.conf import jobs_settings
from jobs.engine.finish import columns_of
from jobs.engine.link import Link
from jobs.engine.maintenance import lose
from jobs.models import Attempt, Lease, Worker
from jobs.states import End, State
from tests.support.engine import NODE, lease, leases, new_job, outcome, row, win, won
from tests.support.rows import make_worker

LOST = {"reason": "its worker died", "settings": replace(jobs_settings(), poison_after=3)}


def finish(link: Link, token, *outcomes, done: bool = True) -> set:
    return {r[0] for r in link.rows("finish", **columns_of(outcomes, token=token, node=NODE, done=done))}


def test_a_lease_is_won_once(link: Link) -> None:
    token = lease(link, [new_job()])
    assert len(win(link, token)) == 1
    assert win(link, token) == []


def test_a_win_whose_reply_was_lost_is_won_again_by_its_receipt(link: Link) -> None:
    job, worker, receipt = new_job(), make_worker(), uuid4()
    token = lease(link, [job])
    for _ in range(2):
        assert link.rows("win", token=token, worker=worker, node=NODE, receipt=receipt)
    assert row(job).state == State.RUNNING


def test_a_forged_token_wins_nothing(link: Link) -> None:
    job = new_job()
    lease(link, [job])
    assert win(link, uuid4()) == []
    assert row(job).state == State.DISPATCHED


@pytest.mark.parametrize("ended", ["lost_at", "stopped_at"])
def test_a_worker_that_is_void_or_has_stopped_wins_nothing(link: Link, ended: str) -> None:
    token = lease(link, [new_job()])
    started = Worker.objects.get(pk=make_worker()).started_at
    assert win(link, token, worker=make_worker(**{ended: started})) == []
    assert win(link, token, worker=uuid4()) == []


def test_a_job_alone_is_running_once_won_and_jobs_of_a_carrier_stay_dispatched(link: Link) -> None:
    alone, *together = [new_job() for _ in range(3)]
    won(link, [alone])
    won(link, together)
    assert [row(job).state for job in (alone, *together)] == ["running", "dispatched", "dispatched"]
    assert (row(alone).worker, row(alone).attempt) == (NODE, 1)


def test_a_carrier_is_finished_in_one_statement_with_an_attempt_for_each_job(link: Link) -> None:
    jobs = [new_job() for _ in range(3)]
    token = won(link, jobs)
    failure = {"state": State.DEAD_LETTER, "end": End.FAILED, "error": "no luck", "traceback": "here"}
    assert finish(link, token, outcome(jobs[2], result="3"), outcome(jobs[0]), outcome(jobs[1], **failure)) == set(jobs)
    assert [row(job).state for job in jobs] == ["completed", "dead_letter", "completed"]
    assert row(jobs[2]).result == "3"
    written = Attempt.objects.order_by("job_id").values_list("job_id", "number", "end", "error", "traceback")
    assert sorted(written) == sorted(
        [
            (jobs[0], 1, "completed", None, None),
            (jobs[1], 1, "failed", "no luck", "here"),
            (jobs[2], 1, "completed", None, None),
        ]
    )
    assert leases() == []


def test_a_stale_finish_changes_nothing(link: Link) -> None:
    job = new_job()
    stale = won(link, [job])
    lose(link, stale, won=True, begun=1, **LOST)
    won(link, [job])
    assert finish(link, stale, outcome(job, result="1")) == set()
    assert (row(job).state, row(job).result, row(job).attempt) == ("running", None, 2)
    assert Attempt.objects.filter(end="completed").count() == 0


def test_a_partial_flush_keeps_the_lease_for_the_rest(link: Link) -> None:
    first, second = new_job(), new_job()
    token = won(link, [first, second])
    assert finish(link, token, outcome(first), done=False) == {first}
    assert (row(first).state, row(second).state, leases()) == ("completed", "dispatched", [token])


def test_a_retry_without_a_delay_is_due_at_once_and_not_never(link: Link) -> None:
    job = new_job()
    finish(link, won(link, [job]), outcome(job, state=State.RETRYING, end=End.RETRIED, spent=1))
    assert row(job).run_at is not None
    assert [r[0] for r in link.rows("promote", limit=10, aging_us=1)] == [job]


def test_jobs_given_back_have_no_attempt_and_are_pending(link: Link) -> None:
    ran, waited = new_job(), new_job()
    token = won(link, [ran, waited])
    link.rows("give_back", ids=[waited], token=token)
    finish(link, token, outcome(ran))
    assert (row(waited).state, row(waited).attempt, row(waited).lease) == ("pending", 0, None)
    assert not Attempt.objects.filter(job_id=waited).exists()


def test_a_job_given_back_under_another_lease_stays_where_it_is(link: Link) -> None:
    job = new_job()
    lease(link, [job])
    assert link.rows("give_back", ids=[job], token=uuid4()) == []
    assert row(job).state == State.DISPATCHED


@pytest.mark.parametrize(("begun", "expected"), [(None, [1, 1, 1]), (0, [0, 0, 0]), (2, [1, 1, 0])])
def test_only_what_had_begun_counts_as_an_attempt_when_a_carrier_is_lost(link: Link, begun, expected) -> None:
    jobs = [new_job() for _ in range(3)]
    token = won(link, jobs)
    counts = lose(link, token, won=True, begun=begun, **LOST)
    assert counts == (sum(expected), 3 - sum(expected), 0)
    assert [row(job).attempt for job in jobs] == expected
    assert {row(job).state for job in jobs} == {"pending"}
    assert Attempt.objects.filter(end="lost", error="its worker died").count() == sum(expected)
    assert [row(job).strikes for job in jobs] == [0, 0, 0], "only a loss while alone is a strike"


def test_a_lease_that_was_won_meanwhile_is_not_taken_back_as_unwon(link: Link) -> None:
    job = new_job()
    token = won(link, [job])
    assert lose(link, token, won=False, begun=None, **LOST) == (0, 0, 0)
    assert (row(job).state, leases()) == ("running", [token])


def test_a_job_lost_three_times_alone_is_poison(link: Link) -> None:
    job = new_job()
    for _ in range(2):
        lose(link, won(link, [job]), won=True, begun=1, **LOST)
        assert row(job).state == State.PENDING
    assert lose(link, won(link, [job]), won=True, begun=None, **LOST) == (1, 0, 1)
    dead = row(job)
    assert (dead.state, dead.strikes, dead.attempt) == ("dead_letter", 3, 3)
    assert dead.error == "lost 3 times while it ran alone: its worker died"
    assert Attempt.objects.filter(job_id=job, end="lost").count() == 3


def test_a_job_lost_again_and_again_in_company_is_no_poison(link: Link) -> None:
    jobs = [new_job(), new_job()]
    for _ in range(4):
        lose(link, won(link, jobs), won=True, begun=2, **LOST)
    assert {row(job).state for job in jobs} == {"pending"}


def test_a_lease_without_jobs_ends_without_harm(link: Link) -> None:
    job = new_job()
    token = won(link, [job])
    finish(link, token, outcome(job), done=False)
    assert lose(link, token, won=True, begun=None, **LOST) == (0, 0, 0)
    assert not Lease.objects.exists()
