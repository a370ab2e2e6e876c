"""Why a job is not running, asked of a real database."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connection

from jobs.engine import cancel
from jobs.engine.dispatch import LOCK_FAMILY
from jobs.engine.link import Link
from jobs.explain import explain
from jobs.models import AuditEntry, Job, Queue
from jobs.reasons import Reason
from jobs.states import State
from tests.support.engine import lease, new_job, win
from tests.support.rows import make_job, make_worker


def of(job_id: UUID) -> list[Reason]:
    return explain(Job.objects.get(pk=job_id))


def codes(job_id: UUID) -> list[str]:
    return [reason.code for reason in of(job_id)]


@pytest.fixture
def at_work(transactional_db: None) -> Iterator[UUID]:
    """A dispatcher's lock, and a live worker."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s, 7)", [LOCK_FAMILY])
        yield make_worker(slots=1)
        cursor.execute("SELECT pg_advisory_unlock(%s, 7)", [LOCK_FAMILY])


@pytest.mark.parametrize("state", list(State))
def test_every_state_has_an_answer(transactional_db: None, state: State) -> None:
    assert all(reason.text.endswith(".") for reason in of(make_job(state=state)))


def test_without_processes_it_says_so(transactional_db: None) -> None:
    assert codes(make_job()) == ["no_dispatcher", "no_worker"]


def test_a_worker_of_another_queue_is_none(at_work: UUID) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_worker SET queues = '{mail}'")
    assert codes(make_job()) == ["no_worker"]
    assert codes(make_job(queue="mail")) == ["next"]


def test_a_paused_queue_tells_who_and_why(at_work: UUID) -> None:
    Queue.objects.create(name="default", paused_at=datetime.now(UTC), paused_reason="SMTP is down")
    for actor in ("bob", "ada"):
        AuditEntry.objects.create(actor=actor, action="pause", resource_type="queue", resource_id="default")
    (reason,) = of(make_job())
    assert reason.code == "paused"
    assert "paused by ada at" in reason.text
    assert "SMTP is down" in reason.text


def test_those_before_it_in_its_queue_are_counted(at_work: UUID) -> None:
    for rank in (1, 2, 5):
        make_job(rank=rank)
    make_job(rank=1, queue="other")
    (reason,) = of(make_job(rank=3))
    assert (reason.code, reason.text) == ("outranked", "It is outranked by 2 jobs of its queue.")
    assert codes(make_job(rank=0)) == ["next"]


def test_a_full_window_is_no_room(at_work: UUID, link: Link) -> None:
    for _ in range(2):
        lease(link, [new_job()])
    assert codes(make_job(rank=-(10**18))) == ["no_room"]


def test_a_lease_on_its_way_and_one_that_a_worker_has(at_work: UUID, link: Link) -> None:
    job_id = new_job()
    token = lease(link, [job_id])
    assert codes(job_id) == ["not_won"]
    assert win(link, token, worker=at_work)
    assert codes(job_id) == ["running"]
    assert cancel([job_id], actor="ada").asked == [job_id]
    assert codes(job_id) == ["cancel_requested", "running"]


@pytest.mark.parametrize("state", ["dispatched", "running"])
def test_a_lease_that_is_gone_is_told(at_work: UUID, state: str) -> None:
    assert codes(make_job(state=state)) == ["lease_gone"]


def test_a_job_that_ended_between_two_looks_has_lost_nothing(at_work: UUID) -> None:
    job = Job.objects.get(pk=make_job(state="dispatched"))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_job SET state = 'completed', lease = NULL, finished_at = now()")
    assert [reason.code for reason in explain(job)] == ["dispatched"]


def test_a_blocked_job_tells_of_its_chord(at_work: UUID) -> None:
    chord = uuid4()
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO jobs_chord (id, size) VALUES (%s, 3)", [chord])
    body = make_job(state="blocked", after=chord)
    make_job(chord=chord)
    make_job(state="completed", chord=chord)
    assert f"the chord {chord} of 3 jobs: 1 job left to complete" in of(body)[0].text
    make_job(state="dead_letter", chord=chord)
    assert "1 of its jobs did not complete" in of(body)[0].text


def test_a_blocked_job_tells_of_the_job_before_it(at_work: UUID) -> None:
    parent = make_job()
    assert f"job {parent} (pending)" in of(make_job(state="blocked", after=parent))[0].text
    assert "gone" in of(make_job(state="blocked", after=uuid4()))[0].text
    own = uuid4()
    assert "takes its place" in of(make_job(id=own, state="blocked", after=own))[0].text


def test_a_time_to_come_is_told_by_the_databases_clock(at_work: UUID) -> None:
    later = datetime.now(UTC) + timedelta(hours=2)
    assert codes(make_job(state="scheduled", run_at=later)) == ["not_due"]
    assert codes(make_job(state="retrying", run_at=later)) == ["retrying"]
