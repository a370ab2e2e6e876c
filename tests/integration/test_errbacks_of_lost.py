"""A job whose loss is final calls its errbacks, as one does that failed: once, and only if the loss stands."""

from dataclasses import replace
from typing import Any

import pytest
from celery import chain

from jobs.conf import jobs_settings
from jobs.engine import requeue
from jobs.engine.control import cancel
from jobs.engine.link import Link
from jobs.engine.maintenance import Sweeper, lose
from jobs.engine.newjob import job_key
from jobs.models import Job
from jobs.wire import ERRBACKS
from tests.support.engine import drain, row, won
from tests.support.odd_tasks import SEEN, echo, errback, errback_of_error
from tests.support.rows import make_worker
from tests.support.tasks import add

TWICE = replace(jobs_settings(), poison_after=2)


@pytest.fixture(autouse=True)
def _forget() -> None:
    SEEN.clear()


def loss(link: Link, job: Any, *, settings=TWICE, begun: int | None = 1) -> tuple[int, int, int]:
    return lose(link, won(link, [job]), settings, won=True, begun=begun, reason="its process died")


def calls() -> list[str]:
    return list(Job.objects.filter(task=ERRBACKS).values_list("state", flat=True))


def test_a_job_whose_process_died_too_often_calls_its_errback_once(link: Link) -> None:
    result = add.apply_async((1, 2), task_id="by name", link_error=[errback.s(), errback.s()], queue="mail")
    job = job_key(result.id)
    assert loss(link, job)[2] == 0
    assert calls() == [], "it runs again"
    assert loss(link, job)[2] == 1
    assert calls() == ["pending"]
    assert Job.objects.get(task=ERRBACKS).queue == "mail"
    drain(link)
    assert SEEN == ["by name", "by name"]
    assert row(job).state == "dead_letter"


def test_an_errback_of_three_arguments_is_given_the_error(link: Link) -> None:
    job = job_key(add.apply_async((1, 2), link_error=errback_of_error.s()).id)
    for _ in range(2):
        loss(link, job)
    drain(link)
    assert [(str(job), "WorkerLostError", "lost 2 times while it ran alone: its process died")] == SEEN


def test_the_dispatchers_own_sweep_calls_them_too(link: Link) -> None:
    job = job_key(add.apply_async((1, 2), link_error=errback.s()).id)
    for _ in range(2):
        boot = make_worker()
        won(link, [job], worker=boot)
        link._open().execute("UPDATE jobs_worker SET lost_at = now() WHERE id = %s", (boot,))
        Sweeper(link, TWICE).recover()
    drain(link)
    assert [str(job)] == SEEN


def test_a_loss_that_is_final_by_the_tasks_own_word_calls_them_too(link: Link) -> None:
    job = job_key(add.apply_async((1, 2), on_lost="dead_letter", link_error=errback.s()).id)
    loss(link, job)
    drain(link)
    assert [str(job)] == SEEN


def test_a_step_of_a_chain_calls_its_own_and_the_later_steps_fail(link: Link) -> None:
    last = chain(add.si(1, 2).set(link_error=[errback.s()], on_lost="dead_letter"), echo.s())()
    loss(link, job_key(last.parent.id))
    drain(link)
    assert [last.parent.id] == SEEN
    assert row(job_key(last.id)).state == "failed"


def test_one_that_someone_cancelled_calls_none(link: Link) -> None:
    job = job_key(add.apply_async((1, 2), on_lost="dead_letter", link_error=errback.s()).id)
    token = won(link, [job])
    cancel([job], actor="ada")
    lose(link, token, TWICE, won=True, begun=1, reason="its process died")
    assert (row(job).state, calls()) == ("cancelled", [])


def test_a_second_life_that_is_lost_calls_them_again(link: Link) -> None:
    job = job_key(add.apply_async((1, 2), on_lost="dead_letter", link_error=errback.s()).id)
    for _ in range(2):
        loss(link, job)
        requeue([job], actor="ada")
    assert len(calls()) == 2


def test_jobs_without_errbacks_and_jobs_behind_the_lost_one_call_nobody(link: Link) -> None:
    plain = job_key(add.apply_async((1, 2), on_lost="dead_letter").id)
    behind = job_key(add.apply_async((1, 2), on_lost="dead_letter", link_error=errback.s()).id)
    lose(link, won(link, [plain, behind]), TWICE, won=True, begun=1, reason="its process died")
    assert ([row(job).state for job in (plain, behind)], calls()) == (["dead_letter", "pending"], [])
