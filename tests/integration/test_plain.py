"""A run without Celery's tracer is like one with it, and is made only where nobody can tell the two apart."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import current_app, signals
from celery.app import trace
from django.contrib.auth.models import User

from jobs.app import plain
from jobs.app.backend import JobBackend
from jobs.app.frames import TRACERS
from jobs.engine.link import Link
from jobs.models import Attempt, Job
from tests.support import plain_tasks
from tests.support.engine import empty_tables, run_result
from tests.support.odd_tasks import (
    SEEN,
    again,
    asynchronous,
    boom,
    choosy,
    echo,
    errback,
    fails_softly,
    mute,
    raises,
    returns_an_object,
    stock,
)
from tests.support.plain_tasks import TOLD

pytestmark = pytest.mark.usefixtures("odd")

RAISED = ("ignore", "requeue", "reject", "retry", "exit", "memory")
CALLS: dict[str, Callable[[], Any]] = {
    "result": lambda: echo.delay(1, key="ü"),
    "request": lambda: plain_tasks.sees_itself.delay(),
    "request with options": lambda: plain_tasks.sees_itself.apply_async(
        headers={"x": 1}, shadow="other", priority="high", time_limit=60, expires=3600
    ),
    "own __call__": lambda: plain_tasks.wrapped.delay(),
    "failure": lambda: boom.delay(),
    "failure with errback": lambda: boom.apply_async(link_error=errback.s()),
    "softly": lambda: fails_softly.delay(),
    "stock base": lambda: stock.delay(),
    "unprintable": lambda: mute.delay(),
    "no JSON": lambda: returns_an_object.delay(),
    "wrong arguments": lambda: current_app.send_task(again.name),
    "retry": lambda: again.delay(2),
    "autoretry": lambda: choosy.delay("key"),
    "no autoretry": lambda: choosy.delay("value"),
    "coroutine": lambda: asynchronous.delay("ann"),
    "on_failure fails": lambda: plain_tasks.fails_in_on_failure.delay(),
    **{f"raises {kind}": lambda kind=kind: raises.delay(kind) for kind in RAISED},
}
KINDS = ("task_failure", "task_retry", "task_internal_error", "task_rejected")


@contextmanager
def watched() -> Iterator[None]:
    """Somebody wants to know of every run, so that Celery's tracer makes it."""
    signals.task_postrun.connect(lambda **_: None, weak=False, dispatch_uid="plain")
    try:
        yield
    finally:
        signals.task_postrun.disconnect(dispatch_uid="plain")


@contextmanager
def noting(said: list[Any]) -> Iterator[None]:
    for kind in KINDS:
        getattr(signals, kind).connect(lambda kind=kind, **_: said.append(kind), weak=False, dispatch_uid="noting")
    try:
        yield
    finally:
        for kind in KINDS:
            getattr(signals, kind).disconnect(dispatch_uid="noting")


def outside_of_tracers(traceback: str) -> list[str]:
    """Its lines but for the frames of the two tracers, which an error that never reached the task has."""
    found: list[str] = []
    for line in traceback.splitlines():
        if line.lstrip().startswith("File "):
            found.append(line)
        elif line.startswith("    ") and found:
            found[-1] += line.strip(" ^")
        else:
            found.append(line)
    return [line for line in found if not any(f'"{tracer}"' in line for tracer in TRACERS)]


def story(link: Link, call: Callable[[], Any], caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """All that is to be seen of a job and its run, but for ids and times."""
    said: list[Any] = []
    SEEN.clear()
    caplog.clear()
    with noting(said):
        job = run_result(link, call())
    attempts = list(Attempt.objects.filter(job_id=job.pk).values("number", "end", "error", "traceback"))
    row = {name: getattr(job, name) for name in ("state", "result", "error", "retries", "attempt")}
    for attempt in attempts:
        attempt["traceback"] = outside_of_tracers(attempt["traceback"] or "")
    logged = [(record.name, record.levelname, record.msg) for record in caplog.records if record.name != "jobs"]
    followers = list(Job.objects.exclude(pk=job.pk).values_list("task", "state"))
    empty_tables(link)
    return {**row, "attempts": attempts, "signals": said, "seen": list(SEEN), "logged": logged, "next": followers}


@pytest.mark.filterwarnings("ignore:Exception raised outside body:RuntimeWarning")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", CALLS)
def test_a_plain_run_tells_the_same_story_as_one_through_celerys_tracer(link: Link, caplog, name: str) -> None:
    with watched():
        theirs = story(link, CALLS[name], caplog)
    User.objects.all().delete()
    ours = story(link, CALLS[name], caplog)
    assert ours == theirs


def test_hooks_of_the_task_are_called(link: Link) -> None:
    TOLD.clear()
    run_result(link, plain_tasks.tells.delay())
    assert TOLD == ["before_start", "on_success", "after_return"]


@pytest.mark.parametrize("kind", ["task_prerun", "task_postrun", "task_success"])
def test_a_receiver_that_comes_between_two_runs_is_told_of_the_second(link: Link, kind: str) -> None:
    said: list[str] = []
    run_result(link, echo.delay())
    getattr(signals, kind).connect(lambda **_: said.append(kind), weak=False, dispatch_uid="late")
    run_result(link, echo.delay())
    getattr(signals, kind).disconnect(dispatch_uid="late")
    run_result(link, echo.delay())
    assert said == [kind]


def test_what_follows_from_a_job_is_called(link: Link) -> None:
    run_result(link, echo.apply_async(link=errback.s()))
    assert Job.objects.filter(task=errback.name).count() == 1


def test_where_celery_would_log_successes_it_does(link: Link, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="celery.app.trace"):
        run_result(link, echo.delay())
    assert [record.getMessage() for record in caplog.records if "succeeded in" in record.getMessage()]


def test_a_task_that_wants_its_start_shown_goes_through_celerys_tracer() -> None:
    assert plain.plain_body(echo) is not None
    assert plain.plain_body(plain_tasks.tracked) is None


def test_a_tracer_that_a_monitoring_library_put_in_place_of_celerys_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "build_tracer", plain_tasks.traced_elsewhere)
    assert plain.plain_body(echo) is None


@pytest.mark.parametrize("hook", ["on_task_init", "on_process_cleanup"])
def test_a_loader_with_hooks_of_its_own_is_asked(monkeypatch: pytest.MonkeyPatch, hook: str) -> None:
    monkeypatch.setattr(type(current_app.loader), hook, lambda *_: None, raising=False)
    assert plain.plain_body(echo) is None


@pytest.mark.parametrize("method", ["mark_as_done", "process_cleanup"])
def test_a_backend_that_does_more_at_a_jobs_end_is_told(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    own = type("OwnBackend", (JobBackend,), {method: lambda *_: None})
    monkeypatch.setattr(echo, "_backend", own(echo.app))
    assert plain.plain_body(echo) is None
