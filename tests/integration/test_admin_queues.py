"""Queues in the admin: what they show, and who may change them."""

import pytest
from django.test import Client
from django.urls import reverse

from jobs.models import AuditEntry, Queue
from tests.support.admin import change_queue, text
from tests.support.rows import hold, make_job, make_worker

pytestmark = pytest.mark.django_db


def test_queues_show_what_waits_and_what_workers_hold(viewer: Client, django_assert_max_num_queries) -> None:
    for number in range(12):
        Queue.objects.create(name=f"q{number:02}")
        make_job(queue=f"q{number:02}")
    make_job(queue="q00")
    hold(make_worker(), [make_job(queue="q01", state="running")], queue="q01")
    with django_assert_max_num_queries(10):
        rows = viewer.get(reverse("admin:jobs_queue_changelist")).context["cl"].result_list
    assert [(queue.pending_count, queue.held_count) for queue in rows][:3] == [(2, 0), (1, 1), (1, 0)]


def test_pausing_and_resuming_a_queue_is_audited(operator: Client) -> None:
    Queue.objects.create(name="mail")
    assert "Say why" in change_queue(operator, "mail", paused="on")
    assert not AuditEntry.objects.exists()
    change_queue(operator, "mail", paused="on", paused_reason="SMTP is down")
    paused = Queue.objects.get()
    assert paused.paused_at is not None
    assert "SMTP is down" in text(operator, reverse("admin:jobs_queue_changelist"))
    change_queue(operator, "mail", paused="on", paused_reason="SMTP is down")
    assert AuditEntry.objects.count() == 1, "nothing changed, so nothing is said"
    change_queue(operator, "mail")
    resumed = Queue.objects.get()
    assert (resumed.paused_at, resumed.paused_reason) == (None, "")
    entries = AuditEntry.objects.order_by("id")
    assert [(entry.action, entry.resource_id, entry.ip) for entry in entries] == [
        ("pause", "mail", "127.0.0.1"),
        ("resume", "mail", "127.0.0.1"),
    ]


def test_order_and_weight_of_a_queue_are_changed_and_audited(operator: Client) -> None:
    Queue.objects.create(name="mail")
    change_queue(operator, "mail", order="strict", aging="", weight="3")
    assert Queue.objects.get().is_strict
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.detail["weight"]) == ("change", {"from": 1, "to": 3})
    change_queue(operator, "mail", aging="60", weight="3")
    assert Queue.objects.get().aging_us == 60_000_000
    for wrong in ({"weight": "0"}, {"aging": "0"}, {"aging": ""}, {"order": "x"}):
        assert "errornote" in change_queue(operator, "mail", **wrong)
    assert AuditEntry.objects.count() == 2


def test_a_viewer_changes_no_queue_and_nobody_deletes_one(viewer: Client, superuser: Client) -> None:
    Queue.objects.create(name="mail")
    url = reverse("admin:jobs_queue_change", args=["mail"])
    assert viewer.get(url).status_code == 200
    assert viewer.post(url, {"order": "strict", "weight": "9"}).status_code == 403
    assert superuser.post(reverse("admin:jobs_queue_delete", args=["mail"]), {"post": "yes"}).status_code == 403
    assert superuser.get(reverse("admin:jobs_queue_add")).status_code == 403
    assert Queue.objects.get().weight == 1
