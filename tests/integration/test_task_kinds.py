"""Tasks of other kinds than a decorated function, and tasks that no worker runs."""

import asyncio

import pytest
from celery import Task, current_app, shared_task

from jobs.engine.link import Link
from jobs.models import Job
from jobs.wire import CARRIER
from tests.support.engine import run_result, unsent
from tests.support.odd_tasks import asynchronous, echo, reads_users

pytestmark = pytest.mark.usefixtures("odd")


@pytest.fixture
def doubled(link: Link):
    """A task written as a class, of the app's own base."""
    app = current_app._get_current_object()

    class Doubled(app.Task):
        name = "tests.doubled"

        def run(self, x):
            if x is None:
                raise KeyError("x")
            return 2 * x

    class Refusing(Doubled):
        name = "tests.refusing"
        max_retries = 3
        no_retry_for = (KeyError,)
        autoretry_for = (Exception,)

    yield app.register_task(Doubled()), app.register_task(Refusing())
    for name in (Doubled.name, Refusing.name):
        app.tasks.unregister(name)


def test_a_task_written_as_a_class_is_a_job(link: Link, doubled) -> None:
    job = run_result(link, doubled[0].delay(4))
    assert (job.task, job.state, job.result) == ("tests.doubled", "completed", "8")


def test_a_class_says_what_is_not_retried_as_a_function_does(link: Link, doubled) -> None:
    job = run_result(link, doubled[1].delay(None))
    assert (job.state, job.retries) == ("dead_letter", 0)


def test_a_class_that_comes_straight_from_celery_is_refused_as_a_message() -> None:
    class Plain(Task):
        name = "tests.plain"

        def run(self) -> None: ...

    assert unsent().register_task(Plain()).Strategy == "jobs.app.carrier:guard"


def test_a_coroutine_called_by_hand_runs_here(link: Link) -> None:
    assert asynchronous("ann") == 1
    assert not Job.objects.exists()


def test_the_carrier_is_nobodys_task() -> None:
    with pytest.raises(RuntimeError, match="is run by the worker's strategy, never as a task"):
        current_app.tasks[CARRIER].run()


def test_what_follows_from_a_task_applied_by_hand_is_a_job_at_once(link: Link) -> None:
    reads_users.apply(link=echo.s("after"))
    assert [(job.task, job.state) for job in Job.objects.all()] == [(echo.name, "pending")]


@shared_task
async def cancels_itself():
    raise asyncio.CancelledError


def test_a_coroutine_that_cancels_itself_has_failed(link: Link) -> None:
    job = run_result(link, cancels_itself.delay())
    assert job.state == "dead_letter"
    assert job.error.startswith("CoroutineCancelled: ")
