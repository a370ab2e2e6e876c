"""The admin as its users see it."""

from uuid import UUID, uuid4

from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

JOBS = reverse("admin:jobs_job_changelist")
DEAD_LETTERS = reverse("admin:jobs_deadletter_changelist")
VIEWER = ("view_job", "view_queue", "view_worker", "view_auditentry", "view_periodictask")


def signed_in(*codenames: str, superuser: bool = False) -> Client:
    user = User.objects.create_user(f"user{uuid4().hex[:6]}", is_staff=True, is_superuser=superuser)
    found = Permission.objects.filter(codename__in=codenames)
    assert found.count() == len(codenames)
    user.user_permissions.set(found)
    client = Client()
    client.force_login(user)
    return client


def text(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200, answer
    return answer.content.decode()


def page(job_id: UUID) -> str:
    return reverse("admin:jobs_job_change", args=[job_id])


def select(client: Client, url: str, *ids: UUID, **data: str) -> str:
    """The page after an action on the selected rows."""
    data = {"action": "requeue_selected", "_selected_action": [str(id_) for id_ in ids], **data}
    return client.post(url, data, follow=True).content.decode()


def change_queue(client: Client, name: str, **data: str) -> str:
    form = {"order": "aging", "aging": "360", "weight": "1", "paused_reason": "", **data}
    return client.post(reverse("admin:jobs_queue_change", args=[name]), form, follow=True).content.decode()
