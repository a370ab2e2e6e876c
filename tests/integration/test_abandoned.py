"""When a step of a chain fails, the later steps fail with it: whoever waits for them is told."""

import pytest
from celery import chain, chord, group
from celery.exceptions import ChordError
from celery.result import AsyncResult
from django.db import connection

from jobs.conf import jobs_settings
from jobs.engine import cancel, requeue
from jobs.engine.link import Link
from jobs.engine.maintenance import Sweeper, lose
from jobs.engine.newjob import job_key
from jobs.models import Job
from jobs.states import State
from tests.support.engine import drain, lease, row, run, won
from tests.support.odd_tasks import boom, double, echo, patient, raises, total

pytestmark = pytest.mark.usefixtures("odd")


def three_steps(first):
    """A chain of `first` and two more; the keys of all three and the result of the last."""
    last = chain(first, double.s(), double.s())()
    return [job_key(node.id) for node in (last.parent.parent, last.parent, last)], AsyncResult(last.id)


def test_the_steps_after_a_failure_fail_with_its_exception_and_name_it(link: Link) -> None:
    (first, second, third), last = three_steps(boom.si())
    run(link, first)
    with pytest.raises(ValueError, match="no luck"):
        last.get(timeout=1)
    assert [row(key).state for key in (second, third)] == [State.FAILED, State.FAILED]
    assert f"{boom.name} ({first}), a step before it, ended as dead_letter: ValueError" in row(third).error


def end_by_cancel(link: Link, first) -> None:
    assert cancel([first], actor="ada").now == [first]


def end_by_cancel_in_the_broker(link: Link, first) -> None:
    lease(link, [first])
    assert cancel([first], actor="ada").now == [first]


def end_by_expiry(link: Link, first) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_job SET expires_at = now()")
    assert Sweeper(link, jobs_settings()).expire() == 1


def end_by_loss(link: Link, first) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_job SET strikes = 10")
    lose(link, won(link, [first]), jobs_settings(), won=True, begun=1, reason="gone")


def end_by_rejection(link: Link, first) -> None:
    run(link, first)


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (end_by_cancel, "cancelled"),
        (end_by_cancel_in_the_broker, "cancelled"),
        (end_by_expiry, "expired"),
        (end_by_loss, "dead_letter"),
        (end_by_rejection, "dead_letter"),
    ],
)
def test_every_end_that_is_no_success_ends_the_chain(link: Link, end, state: str) -> None:
    (first, second, third), last = three_steps(raises.si("reject"))
    end(link, first)
    assert (row(first).state, row(second).state, row(third).state) == (state, "failed", "failed")
    with pytest.raises(RuntimeError, match=f"ended as {state}"):
        last.get(timeout=1)


def test_a_step_that_is_retried_ends_no_chain(link: Link) -> None:
    (first, *_), _ = three_steps(patient.si())
    run(link, first)
    assert Job.objects.count() == 1


def test_a_requeued_step_that_completes_brings_its_successors_back(link: Link) -> None:
    (first, second, third), last = three_steps(double.s("x").set(link_error=[]))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_job SET args = '[null]'")
    run(link, first)
    assert requeue([second, third], actor="ada") == [], "they come back with the step before them only"
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_job SET args = '[1]' WHERE id = %s", [first])
    assert requeue([first], actor="ada") == [first]
    drain(link)
    assert last.get(timeout=1) == 8
    assert row(third).epoch == 2


def test_a_failed_step_in_a_header_fails_the_body(link: Link) -> None:
    body = chord([chain(boom.si(), double.s()), double.s(1)])(echo.s())
    drain(link)
    with pytest.raises(ChordError, match=r"not run: .*boom .*no luck"):
        AsyncResult(body.id).get(timeout=1)


def test_a_chord_further_down_the_chain_fails_in_its_body(link: Link) -> None:
    last = chain(boom.si(), group(double.s(), double.s()), total.s(), double.s())()
    drain(link)
    with pytest.raises(ValueError, match="no luck"):
        AsyncResult(last.id).get(timeout=1)
    assert AsyncResult(last.parent.id).state == "FAILURE"


def test_a_group_at_the_end_of_a_chain_fails_in_every_member(link: Link) -> None:
    results = chain(boom.si(), double.s(), group(double.s(), double.s()))()
    drain(link)
    assert [AsyncResult(result.id).state for result in results.results] == ["FAILURE", "FAILURE"]


def test_a_step_with_an_id_of_text_fails_under_it(link: Link) -> None:
    chain(boom.si(), double.s().set(task_id="the last one"))()
    drain(link)
    assert AsyncResult("the last one").state == "FAILURE"
