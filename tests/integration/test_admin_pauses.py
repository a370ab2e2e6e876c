"""Pauses in the admin: adding one pauses, deleting one resumes, both audited."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from jobs.models import AuditEntry, Job, Pause
from tests.support.admin import signed_in, text
from tests.support.rows import make_job

pytestmark = pytest.mark.django_db
LIST, ADD = reverse("admin:jobs_pause_changelist"), reverse("admin:jobs_pause_add")


@pytest.fixture
def pauser() -> Client:
    return signed_in("view_pause", "add_pause", "delete_pause")


def add(client: Client, **given: str) -> str:
    data = {"kind": "task", "name": "shop.bill", "value": "", "reason": "SMTP is down", **given}
    return client.post(ADD, data, follow=True).content.decode()


def test_a_pause_is_added_with_a_reason_and_ended_by_deleting_it(pauser: Client) -> None:
    assert "Say why" in add(pauser, reason="")
    end = timezone.localtime(timezone.now() + timedelta(days=1))
    add(pauser, kind="tag", name="shop", value="berlin", until_0=f"{end:%Y-%m-%d}", until_1=f"{end:%H:%M:%S}")
    pause = Pause.objects.get()
    assert (pause.what, pause.reason, pause.until) == ("shop=berlin", "SMTP is down", end.replace(microsecond=0))
    make_job(state="paused", pause=pause.pk)
    shown = text(pauser, LIST)
    assert "tag shop=berlin" in shown
    assert 'field-set_aside">1<' in shown
    pauser.post(reverse("admin:jobs_pause_delete", args=[pause.pk]), {"post": "yes"})
    assert not Pause.objects.exists()
    entries = AuditEntry.objects.order_by("id").values_list("action", "resource_type", "resource_id", "ip")
    assert list(entries) == [
        ("pause", "tag", "shop=berlin", "127.0.0.1"),
        ("resume", "tag", "shop=berlin", "127.0.0.1"),
    ]


def test_several_are_ended_at_once(pauser: Client) -> None:
    add(pauser)
    add(pauser, kind="key", name="order:1")
    ids = [str(id_) for id_ in Pause.objects.values_list("pk", flat=True)]
    pauser.post(LIST, {"action": "delete_selected", "_selected_action": ids, "post": "yes"})
    assert not Pause.objects.exists()
    assert AuditEntry.objects.filter(action="resume").count() == 2


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"value": "berlin"}, "Only a tag has a value."),
        ({"kind": "queue"}, "Select a valid choice"),
        ({"name": "a" * 501}, "text of 1 to 500 characters"),
        ({"until_0": "2020-01-01", "until_1": "00:00"}, "expected a moment to come"),
    ],
)
def test_a_wrong_pause_is_said_on_the_form(pauser: Client, given: dict, says: str) -> None:
    assert says in add(pauser, **given)
    assert (Pause.objects.count(), AuditEntry.objects.count()) == (0, 0)


def test_the_same_again_is_refused_by_the_form(pauser: Client) -> None:
    add(pauser)
    assert "errornote" in add(pauser, reason="again")
    assert AuditEntry.objects.count() == 1


def test_who_only_looks_pauses_and_resumes_nothing() -> None:
    viewer, pauser = signed_in("view_pause"), signed_in("view_pause", "add_pause")
    assert viewer.post(ADD, {"kind": "task", "name": "x", "reason": "y"}).status_code == 403
    add(pauser)
    pause = Pause.objects.get()
    assert viewer.post(reverse("admin:jobs_pause_delete", args=[pause.pk]), {"post": "yes"}).status_code == 403
    assert pauser.post(reverse("admin:jobs_pause_delete", args=[pause.pk]), {"post": "yes"}).status_code == 403
    assert Pause.objects.exists()


def test_the_page_of_a_paused_job_names_its_pause(viewer: Client, pauser: Client) -> None:
    add(pauser)
    job_id = make_job(task="shop.bill", state="paused", pause=Pause.objects.get().pk)
    assert Job.objects.get().state == "paused"
    assert "Its task shop.bill was paused by" in text(viewer, reverse("admin:jobs_job_change", args=[job_id]))
