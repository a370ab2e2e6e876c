"""A job that is requeued holds its unique key again, or stays while another job holds that and says so."""

from datetime import timedelta
from uuid import UUID

import pytest
from celery import chain
from django.db import connection
from django.test import Client
from django.urls import reverse

from jobs.conf import jobs_settings
from jobs.engine import JobFilter, Request, bulk, cancel, requeue
from jobs.engine.link import Link
from jobs.engine.maintenance import lose
from jobs.explain import why_it_stays
from jobs.models import AuditEntry
from jobs.states import State
from tests.support.admin import JOBS, page, select
from tests.support.engine import drain, row, run, won
from tests.support.rows import make_job, state_of
from tests.support.tasks import add, fail

pytestmark = pytest.mark.django_db


def call(**options) -> UUID:
    return UUID(fail.apply_async(**{"unique_key": "k", "max_retries": 0, **options}).id)


def died(link: Link, **options) -> UUID:
    job_id = call(**options)
    run(link, job_id)
    assert (row(job_id).state, row(job_id).unique_key) == (State.DEAD_LETTER, None)
    return job_id


def test_a_requeued_job_holds_its_key_again(link: Link) -> None:
    job_id = died(link)
    assert requeue([job_id], actor="ada") == [job_id]
    assert (row(job_id).state, row(job_id).unique_key) == (State.PENDING, "k")
    assert call() == job_id


@pytest.mark.parametrize("how", ["later", "cancelled while it waited for the holder", "expired"])
def test_so_does_one_that_starts_later_waits_for_others_or_never_began(link: Link, how: str) -> None:
    job_id = call(countdown=60)
    if how == "expired":
        with connection.cursor() as cursor:
            cursor.execute("UPDATE jobs_job SET expires_at = now() - interval '1 s'")
        link.rows("expire", limit=10)
    else:
        cancel([job_id], actor="ada")
    assert row(job_id).unique_key is None
    requeue([job_id], actor="ada", delays=[60.0 if how == "later" else 0.0])
    assert (row(job_id).state, row(job_id).unique_key) == ("scheduled" if how == "later" else "pending", "k")


def test_one_that_waits_for_a_job_holds_it_while_it_waits() -> None:
    before = make_job()
    job_id = make_job(state="cancelled", after=before, given_key="k")
    requeue([job_id], actor="ada")
    assert (row(job_id).state, row(job_id).unique_key) == (State.BLOCKED, "k")


def test_it_stays_while_another_job_holds_the_key(link: Link) -> None:
    dead, other = died(link), call()
    assert requeue([dead], actor="ada") == []
    assert (state_of(dead), row(other).unique_key) == (State.DEAD_LETTER, "k")
    why = why_it_stays(dead)
    assert why.code == "duplicate_job"
    assert why.text == f"Job {dead} stays dead_letter: job {other}, which is pending, holds its unique key 'k' now."
    cancel([other], actor="ada")
    assert requeue([dead], actor="ada") == [dead]
    assert not AuditEntry.objects.filter(action="requeue").exclude(resource_id=str(dead)).exists()


def test_of_two_with_one_key_the_first_moves(link: Link) -> None:
    first, second, without = died(link), died(link), died(link, unique_key=None)
    assert set(requeue([second, first, without], actor="ada")) == {second, without}
    assert state_of(first) == State.DEAD_LETTER


def test_a_hold_that_is_over_stands_in_nobodys_way(link: Link) -> None:
    dead, late = died(link), died(link, unique_key="l")
    held = make_job(task=fail.name, state="completed", unique_key="k")
    assert requeue([dead], actor="ada") == [dead]
    assert row(held).unique_key is None
    soon = row(dead).created_at + timedelta(hours=1)
    make_job(task=fail.name, state="completed", unique_key="l", unique_until=soon)
    assert requeue([late], actor="ada") == []
    assert ", which is completed, holds its unique key 'l' now." in why_it_stays(late).text


def test_a_holder_that_was_replaced_while_it_ran_does_not_take_the_key_back(link: Link) -> None:
    first = call()
    token = won(link, [first])
    second = call(on_conflict="replace")
    lose(link, token, jobs_settings(), won=True, begun=None, reason="its worker died")
    assert (state_of(first), row(second).unique_key) == (State.CANCELLED, "k")
    assert requeue([first], actor="ada") == []
    cancel([second], actor="ada")
    assert requeue([first], actor="ada") == [first]


def test_a_step_for_which_another_job_stood_holds_its_key_when_it_runs_after_all(link: Link) -> None:
    holder = UUID(add.apply_async((1, 1), unique_key="k", countdown=60).id)
    result = chain(add.si(1, 2), add.si(3, 4).set(unique_key="k")).apply_async()
    drain(link)
    step = UUID(result.id)
    assert state_of(step) == State.CANCELLED
    assert requeue([step], actor="ada") == []
    cancel([holder], actor="ada")
    assert requeue([step], actor="ada") == [step]
    assert row(step).unique_key == "k"


def test_in_bulk_it_counts_as_stayed(link: Link) -> None:
    dead, free = died(link), died(link, unique_key="other")
    call()
    done = bulk.requeue(JobFilter(states=["dead_letter"]), Request(actor="ada"))
    assert (done.count, done.moved, state_of(dead), state_of(free)) == (2, 1, "dead_letter", "pending")


def test_the_admin_says_who_holds_the_key(link: Link, operator: Client) -> None:
    dead, other = died(link), call()
    said = f"Job {dead} stays dead_letter: job {other}, which is pending, holds its unique key &#x27;k&#x27; now."
    for url, form in (
        (reverse("admin:jobs_job_requeue", args=[dead]), {}),
        (reverse("admin:jobs_job_edit", args=[dead]), {"args": "[]", "kwargs": "{}"}),
    ):
        assert said in operator.post(url, form, follow=True).content.decode()
    assert "Requeued 0 jobs; 1 stayed:" in select(operator, JOBS, dead)
    assert "given_key" not in operator.get(page(dead)).content.decode()


def test_a_step_that_never_began_is_told_to_wait_for_the_one_before_it() -> None:
    job_id = make_job(state="failed")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_job SET after = id")
    assert "a job before it did not complete" in why_it_stays(job_id).text
