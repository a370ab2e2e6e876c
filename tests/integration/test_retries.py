"""Retries: the platform's, Celery's and the task's own."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from kombu.utils.json import loads

from jobs.engine.link import Link
from jobs.models import Attempt, Job
from tests.support.engine import later, run_result
from tests.support.odd_tasks import (
    again,
    boom,
    calls_itself,
    choosy,
    in_a_transaction,
    patient,
)
from tests.support.rows import attempts

pytestmark = pytest.mark.usefixtures("odd")


def test_the_platform_retries_a_failure_as_often_as_the_task_declares(link: Link) -> None:
    job = run_result(link, patient.delay())
    assert (job.state, job.retries, job.error) == ("retrying", 1, "ValueError: not yet")
    assert 0.7 <= (job.run_at - job.started_at).total_seconds() <= 3
    job = later(link, job)
    assert (job.state, job.attempt, job.retries) == ("dead_letter", 2, 1)
    assert [end for _, end, _ in attempts(job)] == ["retried", "failed"]
    assert "in patient" in Attempt.objects.earliest("number").traceback


def test_a_call_may_ask_for_retries(link: Link) -> None:
    assert run_result(link, boom.apply_async(max_retries=2)).state == "retrying"


def test_autoretry_retries_its_own_exceptions_by_its_own_delay(link: Link) -> None:
    job = run_result(link, choosy.delay("key"))
    assert (job.state, job.retries) == ("retrying", 1)
    assert 6 < (job.run_at - job.started_at).total_seconds() < 9
    assert run_result(link, choosy.delay("value")).state == "dead_letter"
    for _ in range(2):
        job = later(link, job)
    assert (job.state, job.attempt) == ("dead_letter", 3)


def test_retry_may_change_the_arguments_and_the_delay(link: Link) -> None:
    job = run_result(link, again.delay(2))
    assert (job.state, job.args, job.retries) == ("retrying", "[1]", 1)
    assert 29 < (job.run_at - job.started_at).total_seconds() < 32
    job = later(link, later(link, job))
    assert (job.state, job.result, job.attempt) == ("completed", '"done"', 3)


def test_retry_may_change_the_place_and_the_options_of_the_next_run(link: Link) -> None:
    new = {"queue": "slow", "priority": "high", "time_limit": 99, "headers": {"b": 2}}
    job = run_result(link, again.apply_async((1,), new, headers={"a": 1}, soft_time_limit=5, task_id="nightly"))
    assert (job.state, job.queue, job.priority) == ("retrying", "slow", 20)
    assert loads(job.options) == {"headers": {"b": 2}, "soft_time_limit": 5, "time_limit": 99, "task_id": "nightly"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tags": {"a": "b"}}, r"self.retry\(tags=…\) is not possible"),
        ({"quue": "slow"}, r"self.retry\(quue=…\) is not possible"),
        ({"queue": "jobs.any"}, "the platform's own"),
        ({"priority": 101}, "Priority 101 is not known"),
        ({"time_limit": 1, "soft_time_limit": 2}, "the soft one must come first"),
    ],
)
def test_a_retry_with_options_that_cannot_be_is_a_dead_letter_that_says_so(link: Link, options, said: str) -> None:
    job = run_result(link, again.apply_async((1,), options))
    assert job.state == "dead_letter"
    assert re.search(said, job.error)


@pytest.mark.parametrize("countdown", [1e12, "inf", "nan", "soon"])
def test_a_retry_at_no_time_that_there_is_ends_as_a_dead_letter_that_says_so(link: Link, countdown) -> None:
    job = run_result(link, again.delay(1, countdown=countdown))
    assert job.state == "dead_letter"
    assert "countdown=" in job.error


def test_a_retry_inside_a_transaction_survives_its_rollback(link: Link) -> None:
    assert run_result(link, in_a_transaction.delay()).state == "retrying"
    assert not User.objects.exists()


def test_a_job_that_is_called_under_its_own_id_is_refused(link: Link) -> None:
    job = run_result(link, calls_itself.delay())
    assert (job.state, Job.objects.count()) == ("dead_letter", 1)
    assert "A running job can't be called under its own id: use self.retry() or self.replace()." in job.error


def test_a_retry_without_a_reason_that_comes_too_late_is_celerys_own_error(link: Link) -> None:
    job = run_result(link, again.apply_async((1,), {"countdown": 600}, retry_for=60))
    assert job.state == "dead_letter"
    assert job.error.startswith("MaxRetriesExceededError: Can't retry tests.support.odd_tasks.again")


def test_a_retry_may_name_its_moment(link: Link) -> None:
    moment = datetime.now(UTC) + timedelta(minutes=10)
    job = run_result(link, again.apply_async((1,), {"eta": moment}))
    assert (job.state, job.retries) == ("retrying", 1)
    assert abs((job.run_at - moment).total_seconds()) < 5
