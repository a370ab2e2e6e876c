"""`/api/admin/scheduled-jobs`: a client of the printed requests can work with it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from celery import shared_task
from django.test import Client
from django_celery_beat.models import PeriodicTask

from jobs.models import AuditEntry, Job
from schedules.conf import default_task
from tests.support import tasks  # noqa: F401  registers them
from tests.support.api import post, problem
from tests.support.schedules import companion, make_due, make_schedule, tick

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("api")]

URL = "/api/admin/scheduled-jobs"
CRAWL = "tests.scheduled_jobs.crawl"
PRINTED = {
    "name": "daily-askreddit",
    "description": "Daily crawl of AskReddit",
    "subreddit_id": 1,
    "cron_expression": "@daily",
    "enabled": True,
    "priority": 10,
}


@shared_task(name=CRAWL)
def crawl(subreddit_id: int, depth: int = 1) -> None:
    return None


@pytest.fixture(autouse=True)
def _alone(settings: Any) -> None:
    settings.SCHEDULE_DEFAULT_TASK = CRAWL
    PeriodicTask.objects.all().delete()


def put(api: Client, id_: int, body: Any) -> Any:
    return api.put(f"{URL}/{id_}", json.dumps(body), content_type="application/json")


def create(api: Client, **given: Any) -> dict[str, Any]:
    answer = post(api, {**PRINTED, **given}, URL)
    assert answer.status_code == 201, answer.content
    return answer.json()


def pointers(found: dict[str, Any]) -> list[str]:
    return [error["pointer"] for error in found["errors"]]


def test_the_printed_request_makes_a_schedule_of_the_default_task(api: Client) -> None:
    answer = post(api, PRINTED, URL)
    made = answer.json()
    assert answer.status_code == 201
    assert isinstance(made["id"], int)
    assert made.items() >= PRINTED.items()
    assert (made["task"], made["kwargs"], made["last_run_at"]) == (CRAWL, {"subreddit_id": 1}, None)
    at = datetime.fromisoformat(made["next_run_at"])
    assert (at.hour, at.minute) == (0, 0)
    assert at > datetime.now(UTC)
    assert api.get(answer["Location"]).json() == made
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor, entry.ip) == ("create", "api token", "127.0.0.1")


@pytest.mark.django_db(transaction=True)
def test_its_job_gets_the_argument_and_the_priority(api: Client) -> None:
    make_due(PeriodicTask.objects.get(pk=create(api, priority=33)["id"]))
    tick()
    job = Job.objects.get()
    assert (job.task, json.loads(job.kwargs), job.priority) == (CRAWL, {"subreddit_id": 1}, 33)


@pytest.mark.parametrize(
    "cron",
    ["@yearly", "@monthly", "@weekly", "@daily", "@hourly", "@every 1h", "@every 30m", "@every 7d", "*/5 * * * *"],
)
def test_an_expression_is_given_back_as_it_was_given(api: Client, cron: str) -> None:
    assert create(api, cron_expression=cron)["cron_expression"] == cron


def test_all_are_listed_as_an_array(api: Client) -> None:
    ids = [create(api, name=name)["id"] for name in ("a", "b", "c")]
    assert [one["id"] for one in api.get(URL).json()] == ids
    assert [one["id"] for one in api.get(f"{URL}?limit=1&offset=1").json()] == ids[1:2]
    assert pointers(problem(api.get(f"{URL}?limit=0"), 422, "invalid_filter")) == ["/limit"]
    problem(api.get(f"{URL}?page=2"), 422, "invalid_filter")


def test_put_changes_what_is_given(api: Client) -> None:
    made = create(api, kwargs={"depth": 2})
    answer = put(api, made["id"], {**PRINTED, "cron_expression": "@every 30m", "subreddit_id": 2})
    changed = answer.json()
    assert (answer.status_code, changed["ok"], changed["job_id"]) == (200, True, made["id"])
    assert (changed["cron_expression"], changed["kwargs"]) == ("@every 30m", {"subreddit_id": 2, "depth": 2})
    assert put(api, made["id"], {"priority": -5}).json()["kwargs"] == {"subreddit_id": 2, "depth": 2}
    assert put(api, made["id"], {"kwargs": {}, "subreddit_id": 3}).json()["kwargs"] == {"subreddit_id": 3}
    shown = api.get(f"{URL}/{made['id']}").json()
    assert (shown["priority"], shown["cron_expression"], shown["subreddit_id"]) == (-5, "@every 30m", 3)
    assert AuditEntry.objects.filter(action="change").count() == 3


def test_toggle_does_as_told_or_the_other_way_round(api: Client) -> None:
    id_ = create(api)["id"]
    path = f"{URL}/{id_}/toggle"
    said = post(api, {"enabled": False}, path).json()
    assert (said["ok"], said["enabled"], said["next_run_at"]) == (True, False, None)
    assert post(api, {"enabled": False}, path).json()["enabled"] is False
    assert api.generic("POST", path, content_type="").json()["enabled"] is True
    assert pointers(problem(post(api, {"enabled": "no"}, path), 422, "invalid_body")) == ["/enabled"]
    assert list(AuditEntry.objects.order_by("id").values_list("action", flat=True)) == ["create", "disable", "enable"]


def test_delete_says_so(api: Client) -> None:
    id_ = create(api)["id"]
    answer = api.delete(f"{URL}/{id_}")
    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    for gone in (api.get(f"{URL}/{id_}"), api.delete(f"{URL}/{id_}"), put(api, id_, PRINTED)):
        problem(gone, 404, "schedule_not_found")


@pytest.mark.parametrize(
    ("given", "pointer", "says"),
    [
        ({"cron_expression": "@dayly"}, "/cron_expression", "Did you mean '@daily'?"),
        ({"cron_expression": "0 0 30 2 *"}, "/cron_expression", "Never due"),
        ({"timezone": "Mars"}, "/timezone", "Unknown timezone"),
        ({"task": "tests.scheduled_jobs.crwal"}, "/task", "Did you mean 'tests.scheduled_jobs.crawl'?"),
        ({"subredit_id": 1}, "/subredit_id", "unexpected keyword argument 'subredit_id'"),
        ({"kwargs": {"subreddit_id": 1}}, "/subreddit_id", "Give it once"),
        ({"args": [1]}, "/subreddit_id", "multiple values for argument 'subreddit_id'"),
    ],
)
def test_what_makes_no_schedule_is_pointed_at(api: Client, given: Any, pointer: str, says: str) -> None:
    found = problem(post(api, {**PRINTED, **given}, URL), 422, "invalid_schedule")
    assert pointers(found) == [pointer]
    assert says in found["detail"], found["detail"]
    assert not PeriodicTask.objects.exists()
    made = create(api)
    assert pointers(problem(put(api, made["id"], {**PRINTED, **given}), 422, "invalid_schedule")) == [pointer]
    assert api.get(f"{URL}/{made['id']}").json() == made


def test_an_argument_that_is_missing_is_pointed_at(api: Client) -> None:
    found = problem(post(api, {"name": "x", "cron_expression": "@daily"}, URL), 422, "invalid_schedule")
    assert pointers(found) == ["/subreddit_id"]


@pytest.mark.parametrize("task", [None, ""])
def test_without_a_task_and_without_the_setting_it_says_so(api: Client, settings: Any, task: str | None) -> None:
    settings.SCHEDULE_DEFAULT_TASK = task
    found = problem(post(api, PRINTED, URL), 422, "invalid_schedule")
    assert pointers(found) == ["/task"]
    assert "SCHEDULE_DEFAULT_TASK" in found["detail"]
    assert default_task() is None


def test_a_task_may_be_named(api: Client) -> None:
    body = {"name": "adds", "cron_expression": "@hourly", "task": "tests.support.tasks.add", "x": 1, "y": 2}
    made = post(api, body, URL).json()
    assert (made["task"], made["kwargs"], made["x"], made["enabled"]) == (
        "tests.support.tasks.add",
        {"x": 1, "y": 2},
        1,
        True,
    )


def test_an_argument_does_not_hide_a_field(api: Client) -> None:
    task = make_schedule(task="tests.support.tasks.add", kwargs='{"id": 7, "enabled": "x", "y": 2}')
    shown = api.get(f"{URL}/{task.pk}").json()
    assert (shown["id"], shown["enabled"], shown["y"]) == (task.pk, True, 2)
    assert shown["kwargs"] == {"id": 7, "enabled": "x", "y": 2}


@pytest.mark.django_db(transaction=True)
def test_an_edit_acts_at_the_beats_next_look(api: Client) -> None:
    task = PeriodicTask.objects.get(pk=create(api)["id"])
    tick()
    before = companion(task).next_run_at
    put(api, task.pk, {"cron_expression": "@every 1h"})
    tick()
    assert companion(task).next_run_at != before
    post(api, {"enabled": False}, f"{URL}/{task.pk}/toggle")
    make_due(task)
    tick()
    assert not Job.objects.exists()
