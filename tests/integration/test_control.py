"""Operator verbs: cancel and requeue."""

from dataclasses import replace

import pytest

from jobs.conf import jobs_settings
from jobs.engine import cancel, requeue
from jobs.engine.control import purge
from jobs.engine.finish import record_one
from jobs.engine.link import Link
from jobs.engine.maintenance import lose
from jobs.models import AuditEntry, Job, Lease
from jobs.states import CANCEL, FINAL, REQUEUE, End, State
from tests.support.engine import lease, new_job, outcome, row, won
from tests.support.rows import make_job


@pytest.mark.parametrize("state", sorted(State))
def test_cancel_ends_exactly_the_jobs_that_wait(link: Link, state: State) -> None:
    job_id = make_job(state=state)
    done = cancel([job_id], actor="ada", reason="wrong customer")
    assert (job_id in done.now) == (state in CANCEL.sources)
    assert (job_id in done.asked) == (state in {"dispatched", "running"})
    assert Job.objects.get(pk=job_id).state == ("cancelled" if state in CANCEL.sources else state)
    assert AuditEntry.objects.count() == len(done.now) + len(done.asked)


@pytest.mark.parametrize("state", sorted(State))
def test_requeue_gives_a_new_life_exactly_to_jobs_that_failed_or_never_ran(link: Link, state: State) -> None:
    job_id = make_job(state=state)
    assert requeue([job_id], actor="ada") == ([job_id] if state in REQUEUE.sources else [])
    job = Job.objects.get(pk=job_id)
    assert job.state == ("pending" if state in REQUEUE.sources else state)
    assert job.epoch == (2 if state in REQUEUE.sources else 1)


def test_cancelling_one_job_of_an_unwon_carrier_returns_the_others_unpunished(link: Link) -> None:
    jobs = [new_job() for _ in range(3)]
    token = lease(link, jobs)
    assert cancel([jobs[1]], actor="ada").now == [jobs[1]]
    assert [row(job).state for job in jobs] == ["pending", "cancelled", "pending"]
    assert [row(job).attempt for job in jobs] == [0, 0, 0]
    assert not Lease.objects.filter(token=token).exists()


def test_a_failure_of_a_job_that_someone_wants_to_cancel_is_not_retried(link: Link) -> None:
    job_id = new_job()
    token = won(link, [job_id])
    assert cancel([job_id], actor="ada") == ([], [job_id])
    record_one(link, token, outcome(job_id, state=State.RETRYING, end=End.RETRIED, delay=60.0), node="w")
    job = row(job_id)
    assert (job.state, job.run_at) == ("cancelled", None)
    assert job.finished_at is not None


def test_a_lost_job_that_someone_wants_to_cancel_does_not_run_again(link: Link) -> None:
    job_id = new_job()
    token = won(link, [job_id])
    cancel([job_id], actor="ada")
    lose(link, token, replace(jobs_settings(), poison_after=1), won=True, begun=None, reason="x")
    assert row(job_id).state == "cancelled"
    assert row(job_id).attempts.get().end == "lost"


def test_a_new_life_forgets_the_wish_to_cancel(link: Link) -> None:
    job_id = new_job()
    token = won(link, [job_id])
    cancel([job_id], actor="ada")
    lose(link, token, replace(jobs_settings(), poison_after=1), won=True, begun=None, reason="x")
    assert requeue([job_id], actor="ada") == [job_id]
    assert row(job_id).cancel_requested_at is None


@pytest.mark.parametrize("address", ["", "fe80::1%eth0", None])
def test_an_address_that_the_database_has_no_word_for_stops_nobody(link: Link, address: str | None) -> None:
    job_id = new_job()
    assert cancel([job_id], actor="ada", ip=address).now == [job_id]


@pytest.mark.parametrize("state", sorted(State))
def test_purge_deletes_exactly_finished_jobs_of_the_states_that_are_meant(link: Link, state: State) -> None:
    job_id, other = make_job(state=state), make_job(state=state)
    assert purge([job_id], states=FINAL - {state}) == []
    assert purge([job_id]) == ([(job_id, state)] if state in FINAL else [])
    assert set(Job.objects.values_list("pk", flat=True)) == ({other} if state in FINAL else {job_id, other})
