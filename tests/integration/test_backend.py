"""AsyncResult over job rows."""

import uuid
from datetime import UTC, datetime

import pytest
from celery import current_app, group, shared_task
from celery.exceptions import TaskRevokedError
from celery.exceptions import TimeoutError as CeleryTimeout
from celery.result import AsyncResult
from django.db import transaction
from django_celery_results.models import TaskResult

from jobs.engine.link import Link
from jobs.errors import InvalidJob, NotCommitted
from jobs.models import Job
from tests.support.engine import run_result, won
from tests.support.rows import make_attempt, make_job
from tests.support.tasks import add


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ("scheduled", "PENDING"),
        ("pending", "PENDING"),
        ("dispatched", "PENDING"),
        ("running", "STARTED"),
        ("retrying", "RETRY"),
        ("completed", "SUCCESS"),
        ("failed", "FAILURE"),
        ("dead_letter", "FAILURE"),
        ("cancelled", "REVOKED"),
        ("expired", "REVOKED"),
    ],
)
def test_every_state_is_shown_as_one_of_celerys(link: Link, state: str, shown: str) -> None:
    result = AsyncResult(str(make_job(state=state)))
    assert result.state == shown
    assert result.ready() is (shown in {"SUCCESS", "FAILURE", "REVOKED"})


def test_an_id_that_no_job_has_is_pending(link: Link) -> None:
    assert AsyncResult(str(uuid.uuid4())).state == "PENDING"


@pytest.mark.parametrize("task_id", ["\x00", "\ud800", "x" * 501, "a\x00b", 5])
def test_an_id_that_no_job_can_have_is_pending_and_nothing_to_forget(link: Link, task_id: object) -> None:
    result = current_app.AsyncResult(task_id)
    assert (result.state, result.result, result.ready()) == ("PENDING", None, False)
    result.forget()
    both = current_app.GroupResult("group", [result, current_app.AsyncResult(str(make_job(state="completed")))])
    assert (both.completed_count(), both.ready()) == (1, False)
    with pytest.raises(CeleryTimeout):
        both.get(timeout=0.01)
    with pytest.raises(CeleryTimeout):
        result.get(timeout=0.01)


def test_get_returns_the_result_with_celerys_types(link: Link) -> None:
    moment = {"__type__": "datetime", "__value__": "2030-01-02T00:00:00+00:00"}
    assert AsyncResult(str(make_job(state="completed", result=[moment]))).get(timeout=1) == [
        datetime(2030, 1, 2, tzinfo=UTC)
    ]


def test_get_raises_what_the_task_raised_with_its_traceback(link: Link) -> None:
    failure = {"exc_type": "KeyError", "exc_module": "builtins", "exc_message": ["x"]}
    job = make_job(state="dead_letter", result=failure, error="KeyError: 'x'")
    make_attempt(job, traceback="File here")
    result = AsyncResult(str(job))
    with pytest.raises(KeyError, match="x"):
        result.get(timeout=1)
    assert result.traceback == "File here"


def test_a_failure_that_kept_no_exception_is_raised_by_its_text(link: Link) -> None:
    with pytest.raises(RuntimeError, match="lost 3 times"):
        AsyncResult(str(make_job(state="dead_letter", error="lost 3 times"))).get(timeout=1)


@pytest.mark.parametrize("state", ["expired", "cancelled"])
def test_a_job_that_never_ran_is_raised_as_revoked(link: Link, state: str) -> None:
    with pytest.raises(TaskRevokedError):
        AsyncResult(str(make_job(state=state, error=state))).get(timeout=1)


@pytest.mark.parametrize("state", ["pending", "dispatched"])
def test_the_failure_of_an_earlier_attempt_is_no_result_of_a_job_that_waits(link: Link, state: str) -> None:
    failure = {"exc_type": "KeyError", "exc_module": "builtins", "exc_message": ["x"]}
    assert AsyncResult(str(make_job(state=state, result=failure))).result is None


def test_get_waits_until_its_timeout(link: Link) -> None:
    job = make_job(state="retrying", error="KeyError")
    with pytest.raises(CeleryTimeout, match=rf"Job {job} is RETRY after 0\.05 s"):
        AsyncResult(str(job)).get(timeout=0.05)


def test_waiting_for_a_job_of_the_open_transaction_is_refused_at_once(link: Link) -> None:
    with transaction.atomic(), pytest.raises(NotCommitted, match="no worker sees it before the commit"):
        add.delay(1, 2).get(timeout=5)


def test_waiting_inside_a_transaction_for_a_committed_job_works(link: Link) -> None:
    result = add.delay(1, 2)
    run_result(link, result)
    with transaction.atomic():
        assert result.get(timeout=1) == 3


def test_forget_drops_the_result_and_keeps_the_job(link: Link) -> None:
    job = make_job(state="completed", result=3)
    AsyncResult(str(job)).forget()
    assert (Job.objects.get(pk=job).result, AsyncResult(str(job)).state) == (None, "SUCCESS")


def test_forget_leaves_a_live_job_alone(link: Link) -> None:
    job = make_job(state="running", progress={"current": 1})
    AsyncResult(str(job)).forget()
    assert Job.objects.get(pk=job).progress == {"current": 1}


def test_the_state_of_another_job_is_refused(link: Link) -> None:
    job = make_job()
    with pytest.raises(InvalidJob, match="only its worker can set its state"):
        current_app.backend.store_result(str(job), {}, "SUCCESS")


@pytest.mark.parametrize("verb", ["mark_as_failure", "mark_as_retry", "mark_as_revoked"])
def test_a_stray_message_says_nothing_about_a_job(link: Link, verb: str) -> None:
    job = make_job(state="running")
    getattr(current_app.backend, verb)(str(job), ValueError("forged"))
    assert AsyncResult(str(job)).state == "STARTED"
    assert not TaskResult.objects.exists()


@shared_task(bind=True)
def states_itself(self):
    self.update_state(state="COPYING", meta={"at": datetime(2030, 1, 2, tzinfo=UTC)})
    result = AsyncResult(self.request.id)
    return [result.state, result.info]


def test_update_state_of_the_running_job_is_its_progress(link: Link) -> None:
    result = states_itself.delay()
    run_result(link, result)
    assert result.get(timeout=1) == ["COPYING", {"at": datetime(2030, 1, 2, tzinfo=UTC)}]


def test_a_running_job_shows_where_it_runs(link: Link) -> None:
    result = add.delay(1, 2)
    won(link, [uuid.UUID(result.id)])
    assert (result.state, result.info["hostname"]) == ("STARTED", "worker@test")


def test_a_reused_id_shows_its_new_epoch(link: Link) -> None:
    result = add.apply_async((1, 2), task_id="nightly")
    run_result(link, result)
    assert AsyncResult("nightly").get(timeout=1) == 3
    add.apply_async((5, 5), task_id="nightly")
    assert AsyncResult("nightly").state == "PENDING"


def test_a_group_joins_its_results(link: Link) -> None:
    results = group(add.s(1, n) for n in range(3))()
    for result in results:
        run_result(link, result)
    assert results.get(timeout=2) == [1, 2, 3]


def test_the_states_of_a_message_that_is_no_job_are_kept_beside_the_jobs(link: Link) -> None:
    """Of a task declared track=False, which its worker runs by Celery's own rules."""
    backend = current_app.backend
    backend.mark_as_retry("not-a-job", ValueError("later"))
    assert TaskResult.objects.get(task_id="not-a-job").status == "RETRY"
    backend.mark_as_revoked("not-a-job", "no more", request=None)
    assert TaskResult.objects.get(task_id="not-a-job").status == "REVOKED"
    backend.forget("not-a-job")
    assert not TaskResult.objects.exists()


def test_a_stray_mark_under_a_jobs_id_says_nothing_about_the_job(link: Link) -> None:
    job_id = make_job(state="running")
    current_app.backend.mark_as_retry(str(job_id), ValueError("later"))
    current_app.backend.mark_as_revoked(str(job_id), "no more")
    assert (Job.objects.get().state, TaskResult.objects.exists()) == ("running", False)


def test_who_waits_may_do_something_meanwhile(link: Link) -> None:
    asked: list[int] = []
    with pytest.raises(CeleryTimeout):
        AsyncResult(str(make_job())).get(timeout=0.05, on_interval=lambda: asked.append(1))
    assert asked
