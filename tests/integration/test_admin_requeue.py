"""Dead letters in the admin, and who may requeue them."""

from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from jobs.models import AuditEntry
from tests.support.admin import DEAD_LETTERS, JOBS, page, select, signed_in, text
from tests.support.rows import make_job, state_of

pytestmark = pytest.mark.django_db


def test_an_operator_requeues_dead_letters_and_reads_one_sentence(operator: Client) -> None:
    dead, failed, done = make_job(state="dead_letter"), make_job(state="failed"), make_job(state="completed")
    found = select(operator, JOBS, dead, failed, done, reason="mail is back")
    assert "Requeued 2 jobs; 1 stayed: they had not failed any more, or another job holds their unique key." in found
    assert [state_of(id_) for id_ in (dead, failed, done)] == ["pending", "pending", "completed"]
    entry = AuditEntry.objects.get(resource_id=str(dead))
    assert (entry.action, entry.detail, entry.ip) == ("requeue", {"reason": "mail is back"}, "127.0.0.1")
    assert entry.actor == User.objects.get().username


def test_dead_letters_lists_only_those_and_links_to_the_job(operator: Client) -> None:
    dead, done = make_job(state="dead_letter", error="boom\nmore"), make_job(state="completed")
    found = text(operator, DEAD_LETTERS)
    assert page(dead) in found
    assert str(done) not in found
    assert "boom" in found
    assert "Requeued 1 job." in select(operator, DEAD_LETTERS, dead)
    old = reverse("admin:jobs_deadletter_change", args=[dead])
    assert operator.get(old).headers["Location"] == page(dead)


def test_all_matching_dead_letters_are_requeued_up_to_the_cap(operator: Client, monkeypatch) -> None:
    monkeypatch.setattr("jobs.admin.requeue.MOST", 3)
    ids = [make_job(state="dead_letter") for _ in range(5)]
    found = select(operator, DEAD_LETTERS, ids[0], select_across="1")
    assert "Requeued 3 jobs. There are more than 3: requeue again for the rest." in found
    assert sorted(map(state_of, ids)) == ["dead_letter"] * 2 + ["pending"] * 3


def test_the_page_requeues_its_job_with_a_reason(operator: Client) -> None:
    dead = make_job(state="dead_letter")
    url = reverse("admin:jobs_job_requeue", args=[dead])
    assert url in text(operator, page(dead))
    assert operator.get(url).status_code == 405
    assert "Requeued 1 job." in operator.post(url, {"reason": "again\x00"}, follow=True).content.decode()
    assert (
        f"Job {dead} is pending: only one that failed, expired or was cancelled runs again."
        in operator.post(url, follow=True).content.decode()
    )
    assert url not in text(operator, page(dead))
    assert operator.post(reverse("admin:jobs_job_requeue", args=[uuid4()])).status_code == 302


def test_requeue_needs_its_permission_and_the_token(viewer: Client, operator: Client) -> None:
    dead = make_job(state="dead_letter")
    url = reverse("admin:jobs_job_requeue", args=[dead])
    assert "requeue" not in text(viewer, JOBS)
    assert url not in text(viewer, page(dead))
    assert viewer.post(url).status_code == 403
    select(viewer, JOBS, dead)
    select(viewer, DEAD_LETTERS, dead)
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = operator.cookies
    assert strict.post(url).status_code == 403
    assert Client().post(url).status_code == 302
    assert state_of(dead) == "dead_letter"


def test_who_may_not_see_jobs_sees_none_of_them() -> None:
    job_id = make_job(state="dead_letter")
    stranger = signed_in("view_worker", "requeue_job")
    for url in (JOBS, DEAD_LETTERS, page(job_id)):
        assert stranger.get(url).status_code == 403
    assert stranger.post(reverse("admin:jobs_job_requeue", args=[job_id])).status_code == 403
    assert "wait" not in text(stranger, reverse("admin:index"))
