"""Members of a group that are alike are prepared once; whatever may tell one from the other is looked at."""

import cProfile
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from celery import chord, current_app, group, shared_task, signals
from django.utils import timezone
from kombu.utils.json import loads

from jobs.app.options import new_job
from jobs.engine.newjob import job_key
from jobs.errors import InvalidJob
from jobs.models import Job
from tests.support.engine import row
from tests.support.odd_tasks import double, echo, total

pytestmark = pytest.mark.django_db


@shared_task(unique_key=lambda x: None if x == 1 else f"key-{x}")
def keyed(x):
    return x


def prepared(call) -> tuple[Any, int]:
    """What the call returns, and how many jobs it prepared on their own."""
    with cProfile.Profile() as profile:
        made = call()
    return made, sum(entry.callcount for entry in profile.getstats() if entry.code is new_job.__code__)


def members(calls, **options) -> list[Job]:
    """Rows of the group's jobs, in its order."""
    return [row(job_key(result.id)) for result in group(calls).apply_async(**options).results]


def travelling(job: Job) -> dict:
    return loads(job.options)


OWN = {"id", "args", "kwargs", "options", "created_at", "updated_at", "ready_at", "rank"}


def test_a_copy_is_the_job_that_the_call_would_be_by_itself() -> None:
    options = {"queue": "mail", "priority": 3, "countdown": 60.0, "expires": 90, "max_retries": 2, "shadow": "x"}
    (first, second), number = prepared(lambda: members([echo.s(1), echo.s(2, word="a")], **options))
    assert number == 1
    assert (loads(second.args), loads(second.kwargs)) == ([2], {"word": "a"})
    for name in {field.attname for field in Job._meta.fields} - OWN - {"run_at", "expires_at"}:
        assert getattr(first, name) == getattr(second, name), name
    assert second.run_at - first.run_at < timedelta(seconds=5)
    assert timezone.now() < second.run_at < second.expires_at
    assert travelling(second) == travelling(first) | {"group_index": 1}


def test_one_member_of_a_chord_is_prepared_and_all_count_for_it() -> None:
    body, number = prepared(lambda: chord([double.s(n) for n in range(5)])(total.s()))
    assert number == 2  # the body too
    jobs = [row(job_key(member.id)) for member in body.parent.results]
    assert {job.chord for job in jobs} == {job_key(body.parent.id)}
    assert [(loads(job.args), travelling(job)["group_index"], travelling(job)["chord"]) for job in jobs] == [
        ([n], n, True) for n in range(5)
    ]


def test_tasks_that_take_turns_are_prepared_once_each() -> None:
    jobs, number = prepared(lambda: members([double.s(1), echo.s(2), double.s(3), echo.s(4)]))
    assert number == 2
    assert [job.task for job in jobs] == [double.name, echo.name] * 2


@pytest.mark.parametrize(
    ("option", "values"),
    [("queue", ("a", "b")), ("priority", (1, 2)), ("shadow", ("a", "b")), ("max_retries", (0, 1))],
)
def test_a_member_with_an_option_of_its_own_is_no_copy(option, values) -> None:
    jobs = members([double.s(1).set(**{option: value}) for value in values])
    column = {"shadow": "name"}.get(option, option)
    assert [getattr(job, column) for job in jobs] == list(values)


def test_a_member_without_an_option_of_another_is_no_copy() -> None:
    jobs = members([double.s(1).set(retry_for=60), double.s(2), double.s(3).set(retry_for=60)])
    assert [job.retry_until is None for job in jobs] == [False, True, False]


def test_what_is_equal_but_of_another_type_is_no_copy() -> None:
    with pytest.raises(InvalidJob, match="Priority True is not known"):
        members([double.s(1).set(priority=1), double.s(2).set(priority=True)])
    jobs = members([double.s(1).set(headers={"n": 1}), double.s(2).set(headers={"n": True})])
    assert [travelling(job)["headers"]["n"] for job in jobs] == [1, True]
    assert travelling(jobs[1])["headers"]["n"] is True


def test_links_are_each_members_own() -> None:
    jobs = members([double.s(1).set(link=[double.s(5)]), double.s(2).set(link=[double.s(6)])])
    assert [travelling(job)["link"][0]["args"] for job in jobs] == [[5], [6]]


def test_an_id_of_the_callers_own_words_is_kept() -> None:
    jobs = members([double.s(n).set(task_id=f"mine-{n}") for n in range(2)])
    assert [travelling(job)["task_id"] for job in jobs] == ["mine-0", "mine-1"]


def test_calls_that_a_groups_generator_makes_are_no_members() -> None:
    def calls():
        for n in range(3):
            for _ in range(2):
                double.apply_async((n,), group_id="mine", task_id=str(uuid4()))
            yield double.s(n)

    result = group(calls()).apply_async()
    groups = Counter((travelling(job)["group_id"], "group_index" in travelling(job)) for job in Job.objects.all())
    assert groups == {("mine", False): 6, (result.id, True): 3}


def test_a_key_that_depends_on_the_arguments_is_asked_of_every_member() -> None:
    assert [job.unique_key for job in members([keyed.s(1), keyed.s(2), keyed.s(3)])] == [None, "key-2", "key-3"]


def test_a_route_that_is_a_function_sees_every_member(monkeypatch) -> None:
    app = current_app._get_current_object()

    def route(name, args, kwargs, options, task=None, **kw):
        return {"queue": f"q{args[0]}"}

    monkeypatch.setattr(app.amqp, "_rtable", None)
    app.conf.task_routes = [route]
    try:
        monkeypatch.setattr(app.amqp, "router", app.amqp.Router())
        assert [job.queue for job in members([double.s(1), double.s(2)])] == ["q1", "q2"]
    finally:
        app.conf.pop("task_routes")


def test_headers_that_a_signals_receiver_adds_are_each_members_own() -> None:
    def add_header(headers, body, **_):
        headers["n"] = body[0][0]

    signals.before_task_publish.connect(add_header)
    try:
        jobs = members([double.s(1), double.s(2)])
    finally:
        signals.before_task_publish.disconnect(add_header)
    assert [travelling(job)["headers"] for job in jobs] == [{"n": 1}, {"n": 2}]


def test_bodies_of_a_chord_that_wait_for_it_keep_their_countdown() -> None:
    bodies = chord([double.s(1), double.s(2)])(group(total.s().set(countdown=60), total.s().set(countdown=60)))
    assert [travelling(row(job_key(body.id)))["countdown"] for body in bodies.results] == [60, 60]


def test_a_copy_whose_options_are_too_long_is_refused(settings) -> None:
    limit = len(members([double.s(1)])[0].options)
    settings.JOBS_MAX_PAYLOAD = limit
    assert len(members([double.s(n) for n in range(10)])) == 10
    with pytest.raises(InvalidJob, match=f"limit JOBS_MAX_PAYLOAD is {limit}"):
        members([double.s(n) for n in range(11)])


def test_a_copys_arguments_are_checked_like_any() -> None:
    with pytest.raises(InvalidJob, match="args hold a NUL character"):
        members([echo.s("a"), echo.s("b\x00")])
    with pytest.raises(InvalidJob, match="kwargs can't be written as JSON"):
        members([echo.s(1), echo.s(2, word=object())])
    assert not Job.objects.exists()
