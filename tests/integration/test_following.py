"""What follows from a job: chain, link and link_error, born with its outcome."""

from collections.abc import Callable

import pytest
from celery import chain, current_app

from jobs.app.runner import Runner
from jobs.engine.execute import carry
from jobs.engine.link import Link
from jobs.engine.newjob import job_key
from jobs.models import Job
from tests.support.engine import later, lease, placed, row, run, run_result
from tests.support.odd_tasks import (
    SEEN,
    boom,
    echo,
    errback,
    patient,
)
from tests.support.statements import lost

pytestmark = pytest.mark.usefixtures("odd")


def test_the_next_step_of_a_chain_is_born_with_the_outcome_of_the_step_before(link: Link) -> None:
    last = chain(echo.s(1), echo.s(2))()
    first = Job.objects.get()
    assert first.pk == job_key(last.parent.id)
    run(link, first.pk)
    second = row(job_key(last.id))
    assert second.args == "[[[1], {}], 2]"
    assert (second.state, second.created_at >= row(first.pk).started_at) == ("pending", True)
    run(link, second.pk)
    assert last.get(timeout=1) == [[[[1], {}], 2], {}]


def test_a_failed_step_ends_its_chain(link: Link) -> None:
    last = chain(boom.si(), echo.si())()
    run(link, job_key(last.parent.id))
    assert not Job.objects.filter(state="pending").exists()


def test_a_callback_follows_a_success(link: Link) -> None:
    run_result(link, echo.apply_async((1,), link=echo.s("and")))
    assert Job.objects.get(state="pending").args == '[[[1], {}], "and"]'


def test_an_error_callback_follows_the_final_failure_only(link: Link) -> None:
    job = run_result(link, patient.apply_async(link_error=errback.s()))
    assert Job.objects.count() == 1
    later(link, job)
    follower = Job.objects.get(state="pending")
    assert (follower.task, follower.args) == (errback.name, f'["{job.pk}"]')
    run(link, follower.pk)
    assert [str(job.pk)] == SEEN


@pytest.mark.parametrize(
    "call", [lambda: echo.apply_async(link=echo.s()), lambda: boom.apply_async(link_error=errback.s())]
)
def test_a_stale_outcome_starts_no_callback(link: Link, call: Callable) -> None:
    result = call()
    token = lease(link, [job_key(result.id)])
    with placed(link) as place:
        runner = Runner(current_app._get_current_object(), place)

        def lose_it(run):
            outcome = runner(run)
            lost(link, token, begun=1)
            return outcome

        carry(token, place, lose_it)
    assert Job.objects.count() == 1
    assert Job.objects.get().state == "pending"
