"""Workers, the audit log, results and schedules in the admin."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django_celery_results.models import TaskResult

from jobs.models import AuditEntry
from tests.support.admin import JOBS, page, select, signed_in, text
from tests.support.rows import hold, make_job, make_worker

pytestmark = pytest.mark.django_db


def test_workers_are_alive_stopping_silent_stopped_or_lost(viewer: Client) -> None:
    now = datetime.now(UTC)
    long_ago = now - timedelta(hours=1)
    make_worker(name="a@alive", queues=["mail", "low"])
    make_worker(name="b@stopping", stopping_at=now)
    make_worker(name="c@stopped", stopping_at=now, stopped_at=now)
    make_worker(name="d@lost", lost_at=now, heartbeat_at=long_ago)
    make_worker(name="e@silent", heartbeat_at=long_ago)
    found = text(viewer, reverse("admin:jobs_worker_changelist"))
    for words in ("alive, last heartbeat 0 s", "stopping, last", "stopped", "lost", "silent, last heartbeat 1 h ago"):
        assert words in found, words
    assert "mail, low" in found
    assert "d@lost" not in text(viewer, reverse("admin:jobs_worker_changelist") + "?life=now")


def test_a_worker_shows_the_jobs_it_holds(viewer: Client, django_assert_max_num_queries) -> None:
    worker = make_worker()
    ids = [make_job(state="running", task=f"task{number}") for number in range(20)]
    for id_ in ids[:10]:
        hold(worker, [id_])
    hold(worker, [*ids[10:], uuid4()])
    with django_assert_max_num_queries(12):
        found = text(viewer, reverse("admin:jobs_worker_change", args=[worker]))
    assert all(page(id_) in found for id_ in ids)
    blind = signed_in("view_worker")
    assert "task1" not in text(blind, reverse("admin:jobs_worker_change", args=[worker]))


def test_audit_entries_are_found_from_a_job_and_never_changed(operator: Client, superuser: Client) -> None:
    dead = make_job(state="dead_letter")
    select(operator, JOBS, dead)
    AuditEntry.objects.create(actor="w", action="refuse_message", resource_type="message", resource_id="x", detail={})
    url = reverse("admin:jobs_auditentry_changelist") + f"?resource_type=job&resource_id={dead}"
    assert url.replace("&", "&amp;") in text(operator, page(dead))
    assert [entry.action for entry in operator.get(url).context["cl"].result_list] == ["requeue"]
    entry = AuditEntry.objects.latest("id")
    assert text(superuser, reverse("admin:jobs_auditentry_change", args=[entry.pk]))
    assert superuser.post(reverse("admin:jobs_auditentry_change", args=[entry.pk]), {}).status_code == 403
    assert superuser.post(reverse("admin:jobs_auditentry_delete", args=[entry.pk]), {}).status_code == 403


def test_task_results_appear_with_the_first_one(superuser: Client) -> None:
    url = reverse("admin:django_celery_results_taskresult_changelist")
    assert superuser.get(url).status_code == 403
    assert "Celery Results" not in text(superuser, reverse("admin:index"))
    TaskResult.objects.create(task_id="x")
    assert superuser.get(url).status_code == 200
    assert url in text(superuser, reverse("admin:index"))


def test_a_schedule_chooses_among_the_registered_tasks(superuser: Client) -> None:
    found = text(superuser, reverse("admin:django_celery_beat_periodictask_add"))
    assert '<option value="tests.support.tasks.noop">' in found
    assert '<option value="jobs.run">' not in found
    assert "celery.backend_cleanup" not in found
