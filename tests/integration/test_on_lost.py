"""A task that declares on_lost="dead_letter" is never started a second time after a loss."""

from dataclasses import replace

import pytest
from django.db import connection

from jobs.app.outcomes import killed_at_limit
from jobs.conf import jobs_settings
from jobs.engine import requeue
from jobs.engine.control import cancel
from jobs.engine.dispatch import front
from jobs.engine.execute import held
from jobs.engine.link import Link
from jobs.engine.maintenance import lose
from jobs.models import Attempt, Job
from tests.support.engine import lease, new_job, row, won
from tests.support.retry_tasks import once
from tests.support.tasks import add, noop

LOST = {"reason": "its worker died", "settings": replace(jobs_settings(), poison_after=3)}


def made(**options) -> Job:
    return Job.objects.get(pk=once.apply_async(**options).id)


@pytest.mark.parametrize("strike", [True, False])
@pytest.mark.parametrize("begun", [1, None])
def test_a_loss_after_its_start_is_its_end_whoever_is_to_blame(link: Link, begun: int | None, strike: bool) -> None:
    job = made()
    assert lose(link, won(link, [job.pk]), won=True, begun=begun, strike=strike, **LOST) == (1, 0, 1)
    job = row(job.pk)
    assert (job.state, job.lease, job.attempt) == ("dead_letter", None, 1)
    assert job.error == (
        "its worker died: it had begun, and on_lost='dead_letter' forbids a second start. "
        "Check what it has done, then requeue it if it is to run again"
    )
    assert (Attempt.objects.get().end, Attempt.objects.get().error) == ("lost", "its worker died")


def test_of_a_carrier_only_those_that_may_have_begun_are_dead(link: Link) -> None:
    first, second, third = new_job(), made().pk, made().pk
    lose(link, won(link, [first, second, third]), won=True, begun=2, **LOST)
    assert [row(id_).state for id_ in (first, second, third)] == ["pending", "dead_letter", "pending"]
    assert row(third).attempt == 0


def test_when_nobody_knows_which_had_begun_each_counts_as_begun(link: Link) -> None:
    jobs = [made().pk, new_job(), made().pk]
    lose(link, won(link, jobs), won=True, begun=None, **LOST)
    assert [row(id_).state for id_ in jobs] == ["dead_letter", "pending", "dead_letter"]


def test_a_loss_before_its_start_costs_it_nothing(link: Link) -> None:
    job = made().pk
    lose(link, won(link, [job]), won=True, begun=0, **LOST)
    lose(link, lease(link, [job]), won=False, begun=None, **LOST)
    assert (row(job).state, row(job).attempt) == ("pending", 0)
    assert not Attempt.objects.exists()


def test_one_that_someone_cancelled_is_cancelled(link: Link) -> None:
    job = made().pk
    token = won(link, [job])
    cancel([job], actor="ada")
    lose(link, token, won=True, begun=1, **LOST)
    assert row(job).state == "cancelled"


def test_a_requeue_is_an_operators_second_start(link: Link) -> None:
    job = made().pk
    lose(link, won(link, [job]), won=True, begun=1, **LOST)
    assert requeue([job], actor="ada") == [job]
    assert (row(job).state, row(job).error) == ("pending", None)


def test_the_call_goes_before_the_task_and_only_the_jobs_own_word_counts(link: Link) -> None:
    asked = add.apply_async((1, 2), on_lost="dead_letter", headers={"a": 1}).id
    spared = once.apply_async(on_lost="retry").id
    quoted = noop.apply_async(headers={"on_lost": "dead_letter"}).id
    for id_ in (asked, spared, quoted):
        lose(link, won(link, [id_]), won=True, begun=1, **LOST)
    assert [row(id_).state for id_ in (asked, spared, quoted)] == ["dead_letter", "pending", "pending"]


def test_it_travels_alone(link: Link) -> None:
    job, other = made(), row(new_job())
    assert [(found.id, found.alone) for found in front(link, "default", limit=10)] == [
        (job.pk, True),
        (other.pk, False),
    ]


def test_a_kill_at_its_time_limit_is_its_end_too(link: Link) -> None:
    job = made(max_retries=3)
    run = held(link, won(link, [job.pk]), job.pk)
    ended = killed_at_limit(run, once, 2.0)
    assert (ended.state, ended.spent) == ("dead_letter", 0)
    assert ended.error.startswith("TimeLimitExceeded: it ran longer than its time limit of 2 s and was killed; on_lost")


def test_the_error_of_an_earlier_retry_is_not_its_result(link: Link) -> None:
    job = made()
    connection.cursor().execute("UPDATE jobs_job SET result = '{}' WHERE id = %s", [job.pk])
    lose(link, won(link, [job.pk]), won=True, begun=1, **LOST)
    assert row(job.pk).result is None


def test_jobs_enqueued_together_keep_the_tasks_word(link: Link) -> None:
    ids = once.enqueue_many([(), ()], retry_for=60)
    assert [found.alone for found in front(link, "default", limit=10)] == [True, True]
    assert {(row(id_).retry_until - row(id_).created_at).total_seconds() for id_ in ids} == {60}
