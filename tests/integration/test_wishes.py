"""What a task says of its own job: snooze, discard, look at it."""

from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import pytest
from celery import chain, signals

from jobs.app import JobDiscarded, JobSnoozed
from jobs.engine.control import cancel
from jobs.engine.dispatch import front
from jobs.engine.finish import record_one
from jobs.engine.link import Link
from jobs.errors import InvalidJob
from jobs.models import Attempt, Job
from jobs.states import End, State
from tests.support.engine import later, new_job, outcome, row, run_result, won
from tests.support.retry_tasks import (
    SEEN,
    discards,
    fails_then_snoozes,
    snoozes,
    snoozes_in_a_coroutine,
    views,
)
from tests.support.tasks import add


@pytest.fixture(autouse=True)
def _forget(odd: None) -> None:
    SEEN.clear()


@pytest.mark.parametrize("how", ["plain", "raised", "swallowed", "retried", "wrapped"])
def test_a_snoozed_job_runs_again_and_has_spent_nothing(link: Link, how: str) -> None:
    failed = []

    def note(**_):
        failed.append(how)

    signals.task_failure.connect(note)
    job = run_result(link, snoozes.delay(how))
    assert (job.state, job.attempt, job.retries, job.result) == ("scheduled", 0, 0, None)
    assert 29 <= (job.run_at - job.started_at).total_seconds() <= 35
    assert not Attempt.objects.exists()
    for _ in range(2):
        job = later(link, job)
    assert SEEN == [(1, 0)] * 3
    assert (job.state, failed) == ("scheduled", [])


def test_a_coroutine_may_snooze(link: Link) -> None:
    assert run_result(link, snoozes_in_a_coroutine.delay()).state == "scheduled"


def test_a_snooze_after_a_failure_keeps_what_the_failure_said_and_its_number(link: Link) -> None:
    job = later(link, run_result(link, fails_then_snoozes.apply_async(max_retries=2)))
    assert (job.state, job.attempt, job.retries, job.error) == ("scheduled", 1, 1, "ValueError: first")
    job = later(link, job)
    assert list(Attempt.objects.values_list("number", "end")) == [(1, "retried")]
    assert job.state == "scheduled"


def test_a_snoozed_job_may_share_a_message_again(link: Link) -> None:
    job = run_result(link, snoozes.delay("plain", 0))
    link.rows("promote", limit=10, aging_us=1)
    assert [(found.id, found.alone) for found in front(link, "default", limit=10)] == [(job.pk, False)]


def test_nothing_follows_from_a_snooze_that_was_swallowed(link: Link) -> None:
    run_result(link, chain(snoozes.si("swallowed"), add.si(1, 2)).apply_async().parent)
    assert not Job.objects.filter(task=add.name, state="pending").exists()


def test_a_job_that_someone_cancelled_is_cancelled_and_not_snoozed(link: Link) -> None:
    job_id = new_job()
    token = won(link, [job_id])
    cancel([job_id], actor="ada")
    snoozed = outcome(job_id, state=State.SCHEDULED, end=End.RETRIED, delay=5.0)
    assert record_one(link, token, snoozed, node="worker@test")
    assert (row(job_id).state, row(job_id).attempt) == ("cancelled", 1)
    assert Attempt.objects.get().number == 1


@pytest.mark.parametrize("seconds", [-1, float("nan"), "5", None, 1e12])
def test_a_snooze_of_no_time_is_refused_where_it_is_asked_for(seconds: object) -> None:
    with pytest.raises(InvalidJob, match=r"snooze=.*expected seconds, 0 or more"):
        snoozes.snooze(seconds)


@pytest.mark.parametrize("how", ["plain", "raised", "swallowed"])
def test_a_discarded_job_is_cancelled_with_its_reason(link: Link, how: str) -> None:
    result = discards.delay(how)
    job = run_result(link, result)
    assert (job.state, job.error, job.result) == ("cancelled", "discarded: no such order", None)
    assert list(Attempt.objects.values_list("number", "end", "error")) == [(1, "cancelled", "discarded: no such order")]
    assert result.state == "REVOKED"


def test_outside_a_job_there_is_none_and_the_wishes_are_raised() -> None:
    assert views.job is None
    with pytest.raises(JobSnoozed, match="runs again in 5 s"):
        views.snooze(5)
    with pytest.raises(JobDiscarded, match="discarded: done"):
        views.discard("done")


def test_a_task_sees_its_job_without_a_query(link: Link, settings) -> None:
    settings.JOBS_TIMEOUT = 90
    expires = datetime.now(UTC) + timedelta(hours=1)
    result = views.apply_async(
        task_id="nightly",
        tags={"tenant": "acme"},
        reference=("order", 5),
        priority="high",
        queue="mail",
        max_retries=4,
        retry_for=600,
        expires=expires,
        soft_time_limit=30,
    )
    job = run_result(link, result)
    (seen,) = SEEN
    assert (seen.id, seen.task_id, seen.task) == (job.pk, "nightly", views.name)
    assert (seen.attempt, seen.retries, seen.max_retries) == (1, 0, 4)
    assert (seen.queue, seen.priority, seen.reference) == ("mail", 20, ("order", "5"))
    assert seen.tags == MappingProxyType({"tenant": "acme"})
    assert seen.started_at.tzinfo is not None
    assert seen.deadline - seen.started_at == timedelta(seconds=90)
    assert seen.soft_deadline - seen.started_at == timedelta(seconds=30)
    assert (seen.retry_until, seen.expires_at) == (job.retry_until, job.expires_at)
    with pytest.raises(AttributeError):
        seen.attempt = 2


def test_a_job_without_limits_has_no_deadline(link: Link) -> None:
    run_result(link, views.delay())
    (seen,) = SEEN
    assert (seen.deadline, seen.soft_deadline, seen.retry_until, seen.expires_at) == (None,) * 4
    assert (dict(seen.tags), seen.reference) == ({}, None)
