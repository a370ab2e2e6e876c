"""One job through Celery's own tracer: how it ends, what signals fire, what follows from it."""

import uuid

import pytest
from celery import signals

from jobs.app.current import current
from jobs.engine.enqueue import enqueue
from jobs.engine.link import Link
from jobs.engine.newjob import NewJob
from jobs.models import Attempt, Lease
from tests.support.engine import later, row, run, run_result
from tests.support.odd_tasks import (
    ask,
    asynchronous,
    boom,
    echo,
    fails_softly,
    mute,
    patient,
    raises,
    reports,
    reports_an_object,
    returns_a_breaking_object,
    returns_an_object,
    returns_nul,
    stock,
)
from tests.support.rows import attempts

pytestmark = pytest.mark.usefixtures("odd")


def test_a_success_keeps_its_result_and_its_attempt(link: Link) -> None:
    job = run_result(link, echo.delay(1, key="ü"))
    assert (job.state, job.result) == ("completed", '[[1], {"key": "\\u00fc"}]')
    assert attempts(job) == [(1, "completed", None)]
    assert job.started_at <= job.finished_at
    assert current() is None
    assert not Lease.objects.exists()


def test_a_failure_is_a_dead_letter_with_its_traceback(link: Link) -> None:
    result = boom.delay()
    job = run_result(link, result)
    assert (job.state, job.error) == ("dead_letter", "ValueError: no luck")
    traceback = Attempt.objects.get().traceback
    assert "in boom" in traceback
    assert "celery" not in traceback.partition("in boom")[0], "it begins with the task's own frame"
    with pytest.raises(ValueError, match="no luck"):
        result.get(timeout=1)


def test_an_asynchronous_task_runs_to_its_end(link: Link) -> None:
    job = run_result(link, asynchronous.delay("ann"))
    assert (job.state, job.result, job.progress["message"]) == ("completed", "1", "whole")


def test_a_task_without_dead_letters_fails(link: Link) -> None:
    assert run_result(link, fails_softly.delay()).state == "failed"


def test_a_task_on_celerys_own_base_class_is_a_job_too(link: Link) -> None:
    assert (run_result(link, stock.delay()).state, stock.Strategy) == ("dead_letter", "jobs.app.carrier:guard")


@pytest.mark.parametrize(
    ("kind", "state", "error"),
    [
        ("ignore", "completed", None),
        ("requeue", "scheduled", "Reject"),
        ("reject", "dead_letter", "Reject"),
        ("retry", "dead_letter", "Retry"),
        ("exit", "dead_letter", "SystemExit: 3"),
        ("keyboard", "dead_letter", "KeyboardInterrupt"),
        ("memory", "dead_letter", "MemoryError: all of it"),
        ("recursion", "dead_letter", "RecursionError: deep"),
    ],
)
def test_whatever_a_task_raises_ends_its_job_and_not_its_process(link: Link, kind, state, error) -> None:
    job = run_result(link, raises.delay(kind))
    assert job.state == state
    assert (job.error or "").startswith(error or "")
    assert run_result(link, echo.delay()).state == "completed"


def test_a_message_of_fifty_megabytes_is_cut(link: Link) -> None:
    job = run_result(link, raises.delay("big"))
    assert job.state == "dead_letter"
    assert len(job.error) < 10_000
    assert "(50,000,012 characters)" in job.error
    assert len(Attempt.objects.get().traceback) < 70_000


def test_an_exception_that_cannot_be_printed_is_recorded_by_its_name(link: Link) -> None:
    result = mute.delay()
    job = run_result(link, result)
    assert (job.state, job.error) == ("dead_letter", "MuteError: (its message can't be read)")
    assert result.state == "FAILURE"


@pytest.mark.parametrize(
    ("task", "why"),
    [
        (returns_an_object, "The job's result can't be written as JSON"),
        (returns_nul, "The job's result hold a NUL"),
        (returns_a_breaking_object, "KeyError: 'of its own'"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_result_that_cannot_be_kept_does_not_undo_the_work(link: Link, task, why: str) -> None:
    job = run_result(link, task.delay())
    assert (job.state, job.result) == ("completed", None)
    assert job.error.startswith(f"completed, but its result is not kept: {why}")


def test_a_task_that_no_worker_knows_waits_for_a_deployment_and_then_is_a_dead_letter(link: Link) -> None:
    job = row(enqueue(NewJob(task="not.deployed")))
    run(link, job.pk)
    assert row(job.pk).state == "retrying"
    assert "deploy the code that registers it" in row(job.pk).error
    for _ in range(5):
        job = later(link, job)
    assert (job.state, job.attempt) == ("dead_letter", 6)


def test_signals_fire_as_in_celery(link: Link) -> None:
    fired = []
    kinds = ("task_prerun", "task_postrun", "task_success", "task_failure", "task_retry")
    receivers = {kind: lambda kind=kind, **_: fired.append(kind) for kind in kinds}
    for kind, receiver in receivers.items():
        getattr(signals, kind).connect(receiver, weak=False)
    try:
        seen = {}
        for task in (echo, boom, patient):
            fired.clear()
            run_result(link, task.delay())
            seen[task] = list(fired)
    finally:
        for kind, receiver in receivers.items():
            getattr(signals, kind).disconnect(receiver)
    assert seen[echo] == ["task_prerun", "task_success", "task_postrun"]
    assert seen[boom] == ["task_prerun", "task_failure", "task_postrun"]
    assert seen[patient] == ["task_prerun", "task_retry", "task_postrun"]


def test_progress_not_written_yet_goes_with_the_outcome(link: Link) -> None:
    job = run_result(link, reports.delay())
    assert (job.progress["message"], job.progress["percentage"]) == ("whole", 100.0)


def test_progress_that_cannot_be_written_fails_at_its_call(link: Link) -> None:
    job = run_result(link, reports_an_object.delay())
    assert job.state == "dead_letter"
    assert "The job's progress can't be written as JSON" in job.error


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retries", 0),
        ("correlation_id", None),
        ("group", None),
        ("is_eager", False),
        ("root_id", None),
        ("shadow", "label"),
        ("hostname", "worker@test"),
        ("argsrepr", "('***',)"),
        ("headers", {"tenant": "a"}),
        ("delivery_info", {"exchange": "", "routing_key": "default", "priority": 30, "redelivered": False}),
    ],
)
def test_the_request_shows_what_it_shows_under_celery(link: Link, name: str, value: object) -> None:
    options = {"headers": {"tenant": "a"}, "priority": "critical", "shadow": "label", "argsrepr": "('***',)"}
    result = ask.apply_async((name,), **options)
    run_result(link, result)
    assert result.get(timeout=1) == (result.id if name in ("correlation_id", "root_id") else value)


def test_what_a_call_hides_of_its_arguments_is_not_logged(link: Link, caplog) -> None:
    run_result(link, boom.apply_async(("secret-7",), argsrepr="('***',)", max_retries=0))
    (line,) = [record for record in caplog.records if record.name == "celery.app.trace"]
    assert line.data["args"] == "('***',)"


def test_a_text_id_is_the_id_that_the_task_sees(link: Link) -> None:
    result = ask.apply_async(("id",), task_id="nightly")
    run_result(link, result)
    assert (result.id, result.get(timeout=1)) == ("nightly", "nightly")


def test_ids_of_jobs_are_of_version_seven(link: Link) -> None:
    assert uuid.UUID(echo.delay().id).version == 7
