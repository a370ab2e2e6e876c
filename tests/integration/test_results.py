"""Results of many jobs: groups ask for all members at once; a run's children are on record."""

import pytest
from celery import chain, current_app, group
from celery.exceptions import TimeoutError as CeleryTimeout
from celery.result import AsyncResult, GroupResult
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from jobs.app.task import MOST_CHILDREN
from jobs.engine.link import Link
from jobs.engine.newjob import job_key
from jobs.errors import NotCommitted
from jobs.models import Job
from tests.support.engine import drain, row, run_result
from tests.support.odd_tasks import boom, calls, calls_a_group, double, echo


@pytest.fixture(autouse=True)
def _forget(odd: None) -> None:
    current_app.backend._cache.clear()


def fresh(results: GroupResult) -> GroupResult:
    """The same group as another process knows it."""
    current_app.backend._cache.clear()
    return current_app.GroupResult(results.id, [AsyncResult(result.id) for result in results])


QUESTIONS = {
    "ready": True,
    "successful": False,
    "failed": True,
    "waiting": False,
    "completed_count": 30,
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_to_a_group_is_one_query(link: Link, question: str) -> None:
    results = group(*[double.s(n) for n in range(30)], boom.s())()
    drain(link)
    asked = fresh(results)
    with CaptureQueriesContext(connection) as queries:
        assert getattr(asked, question)() == QUESTIONS[question]
    assert len(queries) == 1


def test_the_results_of_a_group_are_read_in_one_query(link: Link) -> None:
    results = group(double.s(n) for n in range(30))()
    drain(link)
    asked = fresh(results)
    with CaptureQueriesContext(connection) as queries:
        assert asked.get(timeout=1) == [2 * n for n in range(30)]
    assert len(queries) == 1


def test_the_failures_of_a_group_and_their_tracebacks_are_two_queries(link: Link) -> None:
    results = group(boom.s(str(n)) for n in range(10))()
    drain(link)
    asked = fresh(results)
    with CaptureQueriesContext(connection) as queries:
        assert [str(error) for error in asked.join(timeout=1, propagate=False)] == [str(n) for n in range(10)]
        assert all("ValueError" in result.traceback for result in asked)
    assert len(queries) == 2


def test_a_group_of_chains_reads_their_first_steps_with_them(link: Link) -> None:
    results = group(chain(double.s(n), double.s()) for n in range(10))()
    drain(link)
    current_app.backend._cache.clear()
    with CaptureQueriesContext(connection) as queries:
        assert results.get(timeout=1) == [4 * n for n in range(10)]
    assert len(queries) == 1


def test_the_first_failure_ends_the_wait_for_the_others(link: Link) -> None:
    results = group(double.s(1), boom.s())()
    run_result(link, results[1])
    with pytest.raises(ValueError, match="no luck"):
        results.get(timeout=5)


def test_a_group_that_is_not_ready_in_time_says_how_many_are_missing(link: Link) -> None:
    results = group(double.s(n) for n in range(3))()
    run_result(link, results[0])
    with pytest.raises(CeleryTimeout, match=r"2 of 3 jobs have not ended after 0\.05 s"):
        results.get(timeout=0.05)
    assert (results.ready(), results.completed_count()) == (False, 1)


@pytest.mark.parametrize(
    "call",
    [
        lambda: group(double.s(n) for n in range(3))(),
        lambda: chain(double.s(1), double.s())(),
        lambda: (group(double.s(1), double.s(2)) | echo.s())(),
    ],
    ids=["group", "chain", "chord"],
)
def test_waiting_for_a_canvas_of_the_open_transaction_is_refused_at_once(link: Link, call) -> None:
    with transaction.atomic(), pytest.raises(NotCommitted, match="no worker sees it before the commit"):
        call().get(timeout=5)


def test_a_saved_group_is_restored_with_its_results(link: Link) -> None:
    results = group(double.s(n) for n in range(3))()
    results.save()
    drain(link)
    restored = current_app.GroupResult.restore(results.id)
    assert restored.join(timeout=1) == [0, 2, 4]
    restored.delete()
    assert current_app.GroupResult.restore(results.id) is None


def test_forgetting_a_group_drops_its_results_only(link: Link) -> None:
    results = group(double.s(n) for n in range(3))()
    drain(link)
    fresh(results).forget()
    assert list(Job.objects.values_list("state", "result")) == [("completed", None)] * 3


def test_revoking_a_group_cancels_its_members(link: Link) -> None:
    results = group(double.s(n) for n in range(3))()
    results.revoke()
    assert set(Job.objects.values_list("state", flat=True)) == {"cancelled"}


def test_the_jobs_that_a_run_called_are_its_children(link: Link) -> None:
    result = calls.delay(3)
    run_result(link, result)
    assert [str(child.id) for child in result.children] == [
        str(pk) for pk in Job.objects.filter(task=double.name).order_by("args").values_list("pk", flat=True)
    ]
    drain(link)
    assert [value for child, value in result.collect() if not child.children] == [0, 2, 4]


def test_callbacks_and_the_next_step_are_children_and_a_step_knows_its_parent(link: Link) -> None:
    last = chain(double.s(1).set(link=[echo.s("linked")]), double.s())()
    drain(link)
    first = AsyncResult(last.parent.id)
    assert len(first.children) == 2
    assert first.children[1].id == last.id
    assert row(job_key(last.id)).options.count(first.id) == 2, "root and parent"


def test_a_group_is_one_child_with_its_members(link: Link) -> None:
    result = calls_a_group.delay(3)
    run_result(link, result)
    [child] = result.children
    assert isinstance(child, GroupResult)
    assert len(child) == 3


@pytest.mark.parametrize("task", [calls, calls_a_group])
def test_a_run_keeps_a_bounded_number_of_children(link: Link, task) -> None:
    result = task.delay(MOST_CHILDREN + 5)
    run_result(link, result)
    children = result.children
    members = children[0].results if isinstance(children[0], GroupResult) else children
    assert len(members) == MOST_CHILDREN


def test_a_job_that_called_none_has_no_children(link: Link) -> None:
    result = double.delay(1)
    run_result(link, result)
    assert (result.children, row(job_key(result.id)).children) == ([], None)


def test_results_of_any_jobs_are_read_in_one_query(link: Link, django_assert_num_queries) -> None:
    kept = [double.delay(n) for n in range(5)]
    drain(link)
    together = current_app.ResultSet([AsyncResult(result.id) for result in kept])
    with django_assert_num_queries(1):
        assert together.join(timeout=1) == [0, 2, 4, 6, 8]


def test_native_joins_are_joins(link: Link) -> None:
    results = group(double.s(n) for n in range(3))()
    drain(link)
    assert fresh(results).join_native(timeout=1) == [0, 2, 4]
    said: list = []
    assert fresh(results).join_native(timeout=1, callback=lambda *told: said.append(told)) == []
    assert said == [(result.id, 2 * n) for n, result in enumerate(results)]


def test_members_are_told_as_they_end_those_of_a_group_together(link: Link) -> None:
    first, second, third = double.delay(1), double.delay(2), boom.delay()
    inner = current_app.GroupResult("inner", [second, third])
    told = current_app.GroupResult("outer", [inner, first]).iter_native(timeout=5, on_interval=lambda: drain(link))
    run_result(link, first)
    id_, meta = next(told)
    assert (id_, meta["status"], meta["result"]) == (first.id, "SUCCESS", 2)
    assert list(told) == [("inner", [second, third])]
    assert third.state == "FAILURE"


def test_members_that_do_not_end_in_time_are_told_of(link: Link) -> None:
    results = group(double.s(n) for n in range(2))()
    run_result(link, results[0])
    told = fresh(results).iter_native(timeout=0.01)
    assert next(told)[0] == results[0].id
    with pytest.raises(CeleryTimeout, match="1 of 2 jobs have not ended"):
        next(told)
    with transaction.atomic(), pytest.raises(NotCommitted):
        next(group(double.s(1), double.s(2))().iter_native())
