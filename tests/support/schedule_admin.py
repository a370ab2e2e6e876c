"""The admin's form of a schedule, as a browser sends it."""

from typing import Any

from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

LIST = reverse("admin:django_celery_beat_periodictask_changelist")
ADD = reverse("admin:django_celery_beat_periodictask_add")
FORM = {
    "name": "nightly",
    "description": "",
    "enabled": "on",
    "when": "0 2 * * mon-fri",
    "zone": "Europe/Berlin",
    "task": "tests.support.tasks.add",
    "args": "[1, 2]",
    "kwargs": "{}",
    "overlap": "allow",
    "misfire": "run_once",
    "misfire_cap": "100",
    "spread": "0s",
    "window": "1m",
    "jitter": "0s",
}


def url_of(task: Any, page: str = "change", *args: Any) -> str:
    return reverse(f"admin:django_celery_beat_periodictask_{page}", args=[task.pk, *args])


def send(client: Client, url: str = ADD, **changes: str) -> HttpResponse:
    """The form with these changes, in the state it has at first."""
    return client.post(url, {**FORM, **changes})


def problems(answer: HttpResponse) -> dict[str, list[str]]:
    """What the form says is wrong, by field."""
    assert answer.status_code == 200, answer
    return dict(answer.context["adminform"].form.errors)


def press(client: Client, task: Any, verb: str, **data: str) -> HttpResponse:
    """A button of a schedule's page."""
    return client.post(url_of(task, "verb", verb), data, follow=True)
