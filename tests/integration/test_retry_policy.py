"""The platform's retry policy: which failure, how often, how soon, for how long; and what the call may change."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from celery import current_app
from celery.exceptions import MaxRetriesExceededError, TimeLimitExceeded
from django.db import connection

from jobs.app.outcomes import killed_at_limit
from jobs.engine import requeue
from jobs.engine.enqueue import enqueue
from jobs.engine.execute import held
from jobs.engine.link import Link
from jobs.engine.newjob import NewJob
from jobs.errors import InvalidJob, InvalidTask
from jobs.models import Attempt, Job
from tests.support.engine import later, new_job, row, run, run_result, won
from tests.support.odd_tasks import SEEN as ERRBACKS
from tests.support.odd_tasks import boom, choosy, errback, patient
from tests.support.retry_tasks import (
    THROTTLED,
    automatic,
    bare_retry,
    both_ways,
    counts_by_itself,
    gives_up,
    goes_on,
    hurried,
    persistent,
    raises_retry,
    retries_in_a_coroutine,
    shaped,
    spares_keys,
    throttled,
    throttled_by_hand,
)


@pytest.fixture(autouse=True)
def _exact(settings):
    settings.JOBS_DEFAULT_MAX_RETRIES = 0
    settings.JOBS_RETRY_JITTER = 0
    settings.JOBS_RETRY_DELAY = 60


def nothing() -> None:
    pass


def wait(job: Job) -> float:
    """Seconds from the end of the last attempt to the next, whole."""
    last = Attempt.objects.filter(job_id=job.pk).latest("number")
    return round((job.run_at - last.finished_at).total_seconds())


def after_retries(link: Link, result, count: int) -> Job:
    job = run_result(link, result)
    for _ in range(count):
        job = later(link, job)
    return job


def test_a_task_shapes_its_delays(link: Link) -> None:
    job = run_result(link, shaped.delay("value"))
    assert (job.state, wait(job)) == ("retrying", 100)
    job = later(link, job)
    assert (job.state, wait(job)) == ("retrying", 250)
    assert later(link, job).state == "dead_letter"


def test_a_call_goes_before_the_task_and_the_task_before_the_settings(link: Link, settings) -> None:
    settings.JOBS_RETRY_DELAY = 33
    assert wait(run_result(link, patient.delay())) == 33
    result = shaped.apply_async(["value"], retry_delay=8, retry_backoff=10, retry_backoff_max=50)
    job = run_result(link, result)
    assert wait(job) == 8
    assert wait(later(link, job)) == 50
    assert wait(run_result(link, shaped.apply_async(["throttled"], retry_delay=2))) == 2


def test_the_spread_is_a_setting(link: Link, settings) -> None:
    settings.JOBS_RETRY_JITTER = 1
    waits = {wait(run_result(link, shaped.delay("value"))) for _ in range(4)}
    assert len(waits) > 1
    assert all(0 <= seconds <= 201 for seconds in waits)


def test_each_exception_has_its_own_rule_and_the_most_specific_class_holds(link: Link) -> None:
    job = after_retries(link, shaped.delay("throttled"), 2)
    assert (job.state, job.retries, wait(job)) == ("retrying", 3, 63)
    assert run_result(link, shaped.delay("banned")).state == "dead_letter"
    assert run_result(link, shaped.delay("key")).state == "dead_letter"
    job = after_retries(link, shaped.delay("timeout"), 3)
    assert (job.state, job.retries) == ("retrying", 4), "max_retries None of the rule is no limit"
    assert run_result(link, shaped.apply_async(["timeout"], max_retries=0)).state == "dead_letter"


def test_what_celery_is_not_to_retry_the_platform_does_not_either(link: Link) -> None:
    assert run_result(link, spares_keys.delay()).state == "dead_letter"


def test_what_the_platform_is_not_to_retry_celery_does_not_either(link: Link) -> None:
    assert run_result(link, automatic.delay("value")).state == "dead_letter"
    job = run_result(link, automatic.delay("key"))
    assert (job.state, wait(job)) == ("retrying", 5)


def test_a_rule_holds_beside_autoretry(link: Link) -> None:
    job = run_result(link, both_ways.delay())
    assert (job.state, wait(job)) == ("retrying", 3)
    assert later(link, job).state == "dead_letter"


def in_a_while() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=900)


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ({"after": 500}, 500, 500),
        ({"after": "500"}, 500, 500),
        ({"header": "500"}, 500, 500),
        ({"header": "500", "on_itself": True}, 500, 500),
        ({"after": in_a_while}, 600, 900),
        ({"header": lambda: format_datetime(in_a_while(), usegmt=True)}, 600, 900),
        ({"after": 1e12}, 86_400, 86_400),
        ({"after": 5}, 60, 60),
        ({"after": "soon"}, 60, 60),
        ({"after": -3}, 60, 60),
        ({"header": ""}, 60, 60),
        ({}, 60, 60),
    ],
)
def test_retry_after_is_the_least_delay_within_its_bound(link: Link, settings, asked, least, most) -> None:
    settings.JOBS_RETRY_DELAY = 60
    asked = {name: value() if callable(value) else value for name, value in asked.items()}
    assert least <= wait(run_result(link, throttled.delay(**asked))) <= most


@pytest.mark.parametrize(
    ("how", "after", "expected"),
    [
        ("backoff", 500, 500),
        ("backoff", 5, 50),
        ("backoff", None, 50),
        ("default delay", 500, 500),
        ("default delay", 5, 50),
        ("countdown", 500, 50),
    ],
)
def test_autoretry_honours_retry_after_unless_the_task_names_a_countdown(link: Link, how, after, expected) -> None:
    job = run_result(link, THROTTLED[how].delay(after))
    assert (job.state, wait(job)) == ("retrying", expected)


@pytest.mark.parametrize(("when", "expected"), [({}, 500), ({"countdown": 7}, 7), ({"countdown": 0}, 0)])
def test_a_retry_by_hand_honours_retry_after_unless_it_names_a_time(link: Link, when: dict, expected: int) -> None:
    assert wait(run_result(link, throttled_by_hand.delay(500, **when))) == expected


def test_a_retry_that_has_to_wait_past_its_time_is_given_up(link: Link) -> None:
    job = run_result(link, THROTTLED["backoff"].apply_async((500,), retry_for=300))
    assert job.state == "dead_letter"
    assert job.error.startswith("Throttled: slow down")


def test_the_longest_retry_after_is_a_setting(link: Link, settings) -> None:
    settings.JOBS_RETRY_AFTER_MAX = 120
    assert wait(run_result(link, throttled.delay(after=500))) == 120


def test_a_retry_after_that_is_no_time_is_logged(link: Link, caplog) -> None:
    run_result(link, throttled.delay(after="soon"))
    assert "Retry-After is ignored: 'soon' is no time to wait" in caplog.text


def test_no_retry_is_planned_beyond_the_time_for_retries(link: Link) -> None:
    result = persistent.apply_async(retry_for=25)
    job = run_result(link, result)
    assert job.retry_until - job.created_at == timedelta(seconds=25)
    assert (job.state, wait(job)) == ("retrying", 10)
    job = later(link, job)
    assert job.state == "retrying" or job.error.startswith("ValueError: not yet (not retried")
    job = run_result(link, persistent.apply_async(retry_for=5))
    assert (job.state, job.retries, job.run_at) == ("failed", 0, None)
    end = job.retry_until.strftime("%Y-%m-%d %H:%M:%S")
    assert job.error == f"ValueError: not yet (not retried: its time for retries (retry_for) ends at {end} UTC)"
    assert "in persistent" in Attempt.objects.get(job_id=job.pk).traceback


def test_the_time_for_retries_comes_from_the_task_or_the_setting(link: Link, settings) -> None:
    persistent.delay()
    assert Job.objects.get().retry_until - Job.objects.get().created_at == timedelta(hours=1)
    settings.JOBS_RETRY_FOR = 90
    job = run_result(link, boom.delay())
    assert job.retry_until - job.created_at == timedelta(seconds=90)


def test_a_retry_that_comes_too_late_is_not_run(link: Link) -> None:
    ERRBACKS.clear()
    result = persistent.apply_async(link_error=errback.s())
    job = run_result(link, result)
    assert job.state == "retrying"
    connection.cursor().execute("UPDATE jobs_job SET retry_until = now() WHERE id = %s", [job.pk])
    job = later(link, job)
    assert (job.state, job.attempt) == ("failed", 2)
    assert job.error.startswith("MaxRetriesExceededError: Can't retry tests.support.retry_tasks.persistent")
    assert "(not retried: its time for retries (retry_for) ends at" in job.error
    assert Attempt.objects.get(job_id=job.pk, number=2).end == "failed"
    assert "in persistent" not in (Attempt.objects.get(job_id=job.pk, number=2).traceback or "")
    with pytest.raises(MaxRetriesExceededError):
        result.get(timeout=1)
    assert Job.objects.filter(task=errback.name).exists() or ERRBACKS, "its errback is called"


def test_a_requeued_job_has_its_retries_again(link: Link) -> None:
    job = run_result(link, persistent.apply_async(retry_for=5))
    assert requeue([job.pk], actor="ada") == [job.pk]
    run(link, job.pk)
    assert (row(job.pk).state, row(job.pk).retry_until) == ("retrying", None)


def test_a_coroutine_may_retry(link: Link) -> None:
    job = run_result(link, retries_in_a_coroutine.delay())
    assert (job.state, job.error, wait(job)) == ("retrying", "ValueError: the real one", 20)


def test_a_lost_first_run_may_start_again_after_the_time_for_retries(link: Link) -> None:
    result = persistent.delay()
    connection.cursor().execute("UPDATE jobs_job SET retry_until = now() WHERE id = %s", [result.id])
    assert "ValueError: not yet" in run_result(link, result).error


def test_the_time_for_retries_binds_the_tasks_own_retry_too(link: Link) -> None:
    assert run_result(link, hurried.delay(30)).state == "retrying"
    job = run_result(link, hurried.delay(90))
    assert job.state == "dead_letter"
    assert job.error.startswith("ValueError: the real one (not retried: its time for retries")


def test_a_job_killed_at_its_limit_follows_its_rules_and_its_time(link: Link) -> None:
    never = current_app.task(name="killed", lazy=False, no_retry_for=(TimeLimitExceeded,))(nothing)
    job_id = new_job(max_retries=3, retry_for=10.0)
    killed = held(link, won(link, [job_id]), job_id)
    assert killed.retry_until == row(job_id).retry_until.isoformat()
    assert killed_at_limit(killed, patient, 5.0).error.endswith("UTC)")
    killed.retry_until = None
    assert killed_at_limit(killed, patient, 5.0).state == "retrying"
    assert killed_at_limit(killed, never, 5.0).state == "dead_letter"


def test_max_retries_of_a_call_binds_autoretry_too(link: Link) -> None:
    assert run_result(link, choosy.apply_async(["key"], max_retries=0)).state == "dead_letter"
    assert run_result(link, counts_by_itself.apply_async(max_retries=0)).state == "dead_letter"
    job = after_retries(link, choosy.apply_async(["key"], max_retries=None), 4)
    assert (job.state, job.retries) == ("retrying", 5)


def test_one_jobs_limit_is_not_the_next_ones(link: Link) -> None:
    run_result(link, choosy.apply_async(["key"], max_retries=0))
    run_result(link, gives_up.delay("its own"))
    assert run_result(link, choosy.delay("key")).state == "retrying"
    assert not hasattr(gives_up, "override_max_retries")


@pytest.mark.parametrize(
    ("how", "error"), [("its own", "ValueError: spent"), ("none", "MaxRetriesExceededError: Can't retry")]
)
def test_a_task_that_has_given_up_is_not_retried_by_the_platform(link: Link, how: str, error: str) -> None:
    job = run_result(link, gives_up.delay(how))
    assert job.state == "dead_letter"
    assert job.error.startswith(error)


def test_the_error_of_a_retry_is_the_failure_that_led_to_it(link: Link) -> None:
    job = run_result(link, bare_retry.delay())
    attempt = Attempt.objects.get(job_id=job.pk)
    assert (job.state, job.error, attempt.error) == ("retrying", "ValueError: the real one", "ValueError: the real one")
    assert "in bare_retry" in attempt.traceback
    assert "celery.exceptions.Retry" not in attempt.traceback


@pytest.mark.parametrize(("then", "error"), [("fail", "KeyError: 'first'"), ("return", "KeyError: 'first'")])
def test_a_retry_that_was_not_thrown_holds_whatever_follows(link: Link, then: str, error: str) -> None:
    job = run_result(link, goes_on.delay(then))
    assert (job.state, job.args, job.error, wait(job)) == ("retrying", '["fine"]', error, 40)


def test_a_bare_retry_goes_by_the_policy(link: Link, settings) -> None:
    settings.JOBS_RETRY_DELAY = 12
    job = run_result(link, raises_retry.delay())
    assert (job.state, job.error, wait(job)) == ("retrying", "ValueError: why", 12)


def test_a_task_that_nobody_knows_is_tried_as_often_as_the_setting_says(link: Link, settings) -> None:
    settings.JOBS_UNKNOWN_TASK_RETRIES = 1
    settings.JOBS_UNKNOWN_TASK_DELAY = 4
    job = row(enqueue(NewJob(task="not.there")))
    run(link, job.pk)
    job = row(job.pk)
    assert (job.state, wait(job)) == ("retrying", 4)
    assert later(link, job).state == "dead_letter"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"retry_delay": -1}, r"retry_delay=-1: expected seconds, 0 or more\."),
        ({"retry_delay": "5"}, "retry_delay='5': expected seconds"),
        ({"retry_delay": float("nan")}, "retry_delay=nan: expected seconds"),
        ({"retry_backoff": 0.5}, r"retry_backoff=0.5: expected a factor, 1 or more\."),
        ({"retry_backoff": True}, "retry_backoff=True: expected a factor"),
        ({"retry_backoff_max": float("inf")}, "retry_backoff_max=inf: expected seconds"),
        ({"retry_for": 0}, r"retry_for=0: expected seconds, above 0\."),
        ({"on_lost": "forget"}, "on_lost='forget': expected one of retry, dead_letter"),
        ({"retry_backof": 2}, "Did you mean 'retry_backoff'?"),
    ],
)
def test_a_call_with_a_policy_that_cannot_work_is_refused(link: Link, options: dict, says: str) -> None:
    with pytest.raises(InvalidJob, match=says):
        boom.apply_async(**options)
    assert not Job.objects.exists()


def test_a_call_cannot_shape_what_celery_retries(link: Link) -> None:
    with pytest.raises(InvalidJob, match=r"retry_delay=3 has no effect: .*choosy' retries by Celery's autoretry_for"):
        choosy.apply_async(["key"], retry_delay=3)


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"retry_delay": -1}, "retry_delay=-1; expected seconds, 0 or more"),
        ({"retry_backoff": 0}, "retry_backoff=0; expected a factor, 1 or more"),
        ({"retry_for": "1h"}, "retry_for='1h'; expected seconds, above 0"),
        ({"on_lost": "never"}, "on_lost='never'; expected one of retry, dead_letter"),
        ({"no_retry_for": ("ValueError",)}, "'ValueError' is no exception class"),
        ({"retry_on": [ValueError]}, "expected exception classes with their numbers"),
        ({"retry_on": {ValueError: 5}}, r"retry_on\[ValueError\] is 5; expected a dict of delay, backoff"),
        ({"retry_on": {ValueError: {"dely": 5}}}, "expected a dict of delay, backoff, backoff_max, max_retries"),
        ({"retry_on": {ValueError: {"max_retries": -1}}}, "max_retries=-1; expected a whole number"),
        ({"retry_on": {ValueError: {}}, "no_retry_for": (ValueError,)}, "stands in retry_on and in no_retry_for"),
    ],
)
def test_a_task_with_a_policy_that_cannot_work_is_refused_at_its_registration(declared: dict, says: str) -> None:
    with pytest.raises(InvalidTask, match=says):
        # Not shared: every app that is made later in this process would be refused too.
        current_app.task(name="refused", lazy=False, shared=False, **declared)(nothing)
    current_app.tasks.pop("refused", None)


def test_celerys_own_words_for_autoretry_are_left_to_celery() -> None:
    made = current_app.task(name="stocks", lazy=False, autoretry_for=(KeyError,), retry_backoff=True)(nothing)
    assert made.retry_backoff is True
    current_app.tasks.pop("stocks")
