"""self.replace(): other jobs take over, the last of them under the same id."""

import pytest
from celery import chain, chord, current_app, group
from celery.result import AsyncResult

from jobs.app.runner import Runner
from jobs.engine import cancel
from jobs.engine.execute import carry
from jobs.engine.link import Link
from jobs.engine.newjob import job_key
from jobs.models import Attempt, Job
from jobs.states import State
from tests.support.engine import drain, lease, placed, row, run_result
from tests.support.odd_tasks import SEEN, boom, constant, double, echo, errback, replaces, replaces_or_retries, total

pytestmark = pytest.mark.usefixtures("odd")


@pytest.mark.parametrize(
    ("shape", "result"),
    [
        (lambda: double.s(4), 8),
        (lambda: chain(double.s(1), double.s(), double.s()), 8),
        (lambda: chord([double.s(1), double.s(2)], total.s()), 6),
        (lambda: group(double.s(1), double.s(2)), [2, 4]),
        (lambda: chain(constant.si(), group(double.s(), double.s())), [14, 14]),
    ],
    ids=["task", "chain", "chord", "group", "chain that ends in a group"],
)
def test_the_result_is_that_of_what_takes_over(link: Link, shape, result) -> None:
    promise = replaces.delay(shape())
    first = run_result(link, promise)
    assert Attempt.objects.get(job_id=first.pk).end == "completed"
    assert promise.state == "PENDING"
    drain(link)
    assert AsyncResult(promise.id).get(timeout=1) == result


def test_a_replaced_job_waits_for_the_last_of_those_that_take_over(link: Link) -> None:
    promise = replaces.delay(chain(constant.si(), double.s()))
    replaced = run_result(link, promise)
    assert (replaced.state, replaced.after, replaced.lease) == (State.BLOCKED, replaced.pk, None)
    drain(link)
    done = row(replaced.pk)
    assert (done.state, done.task, done.after, done.epoch) == (State.COMPLETED, double.name, None, 2)


def test_a_failing_step_of_the_replacement_fails_the_replaced_job(link: Link) -> None:
    promise = replaces.apply_async((chain(boom.si(), double.s(), double.s()),), link_error=errback.s())
    drain(link)
    with pytest.raises(ValueError, match="no luck"):
        AsyncResult(promise.id).get(timeout=1)
    assert not Job.objects.filter(state__in=["blocked", "pending"]).exists()


def test_a_replacement_keeps_callbacks_and_the_rest_of_the_chain(link: Link) -> None:
    last = chain(replaces.s(double.s(4)).set(link=[echo.s("linked")]), double.s())()
    drain(link)
    assert AsyncResult(last.id).get(timeout=1) == 16
    assert SEEN == [((8, "linked"), {})]


def test_a_replaced_member_of_a_chord_counts_once(link: Link) -> None:
    body = chord([replaces.s(chain(constant.si(), double.s())), replaces.s(group(double.s(1))), double.s(3)])(echo.s())
    drain(link)
    assert body.get(timeout=1) == [[[14, [2], 6]], {}]


def test_a_replacement_that_is_refused_fails_the_job_and_calls_nothing(link: Link) -> None:
    promise = replaces.delay(group(double.s(1), double.s(1).set(queeue="x")))
    failed = run_result(link, promise)
    assert (failed.state, Job.objects.count()) == (State.DEAD_LETTER, 1)
    assert "Did you mean 'queue'" in failed.error


def test_a_job_whose_replacement_was_refused_may_be_retried(link: Link) -> None:
    promise = replaces_or_retries.delay()
    assert run_result(link, promise).state == State.RETRYING
    assert Job.objects.count() == 1


def test_a_replacement_of_a_job_that_was_cancelled_meanwhile_is_dropped(link: Link) -> None:
    promise = replaces.delay(double.s(4))
    key = job_key(promise.id)
    token = lease(link, [key])
    with placed(link) as place:
        runner = Runner(current_app._get_current_object(), place)

        def cancelled_while_it_ends(run):
            outcome = runner(run)
            assert cancel([key], actor="ada").asked == [key]
            return outcome

        carry(token, place, cancelled_while_it_ends)
    assert (row(key).state, Job.objects.count()) == (State.CANCELLED, 1)
