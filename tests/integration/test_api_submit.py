"""What the API takes as a job, what it refuses, and that both are said in full."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import shared_task

from jobs.models import Job
from tests.support import tasks  # noqa: F401  registers them
from tests.support.api import post, problem

ADD = "tests.support.tasks.add"
NOOP = "tests.support.tasks.noop"
ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.django_db


@shared_task(name="tests.untracked", track=False)
def untracked():
    return None


def pointers(found: dict[str, Any]) -> list[str]:
    return [error["pointer"] for error in found["errors"]]


@pytest.mark.parametrize("path", ["/api/jobs/submit", "/api/jobs"])
def test_a_client_of_the_printed_contract_can_submit(api, path):
    answer = post(api, {"handler": ADD, "args": [123], "kwargs": {"y": "high"}, "priority": "normal"}, path)
    assert answer.status_code == 201
    assert answer.json()["status"] == "pending"
    job = Job.objects.get(pk=answer.json()["job_id"])
    assert (job.task, job.args, job.kwargs, job.priority, job.queue) == (ADD, "[123]", '{"y": "high"}', 10, "default")
    assert job.created_by == "api token"
    assert api.get(answer["Location"]).json()["id"] == str(job.pk)


@pytest.mark.parametrize("field", ["task", "handler", "type"])
def test_the_task_may_be_given_by_each_of_its_names(api, field):
    assert post(api, {field: NOOP}).json()["task"] == NOOP


def test_the_keyword_arguments_may_be_given_as_params(api):
    assert post(api, {"task": ADD, "params": {"x": 1, "y": 2}}).json()["kwargs"] == {"x": 1, "y": 2}


def test_every_option_reaches_the_job(api):
    answer = post(
        api,
        {
            "task": NOOP,
            "priority": -7,
            "queue": "mail",
            "max_retries": 5,
            "name": "nightly",
            "tags": {"team": "a"},
            "reference": {"type": "order", "id": "17"},
            "delay": 60,
            "expires": 120.5,
        },
    ).json()
    job = Job.objects.get(pk=answer["id"])
    assert (job.priority, job.queue, job.max_retries, job.name, job.tags) == (-7, "mail", 5, "nightly", {"team": "a"})
    assert answer["reference"] == {"type": "order", "id": "17"}
    assert (answer["status"], answer["state"]) == ("pending", "scheduled")
    assert job.run_at - job.created_at == timedelta(seconds=60)
    assert job.expires_at - job.created_at == timedelta(seconds=120.5)


def test_moments_may_be_given_instead_of_seconds(api):
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    given = {"task": NOOP, "run_at": start.isoformat(), "expires": (start + timedelta(hours=1)).isoformat()}
    job = Job.objects.get(pk=post(api, given).json()["id"])
    assert (job.run_at, job.expires_at) == (start, start + timedelta(hours=1))


def test_null_is_as_good_as_not_given(api):
    fields = ("queue", "priority", "delay", "run_at", "expires", "max_retries", "name", "tags", "reference")
    plain, nulls = post(api, {"task": NOOP}).json(), post(api, {"task": NOOP, **dict.fromkeys(fields)}).json()
    differ = {"id", "job_id", "created_at", "updated_at"}
    assert {k: v for k, v in nulls.items() if k not in differ} == {k: v for k, v in plain.items() if k not in differ}


@pytest.mark.parametrize(
    ("body", "code", "pointer", "says"),
    [
        ({"task": NOOP[:-1]}, "unknown_task", "/task", f"Did you mean '{NOOP}'?"),
        ({"task": "os.system", "args": ["ls"]}, "unknown_task", "/task", "registered with @shared_task"),
        ({"task": "celery.backend_cleanup"}, "unknown_task", "/task", "Unknown task"),
        ({"task": "jobs.run", "args": [1, "x"]}, "unknown_task", "/task", "Unknown task"),
        ({"task": "tests.untracked"}, "invalid_job", "", "track=False"),
        ({"task": ADD, "args": [1]}, "bad_arguments", "/args", "missing a required argument: 'y'"),
        ({"task": NOOP, "args": [1]}, "bad_arguments", "/args", "too many positional arguments"),
        ({"task": NOOP, "kwargs": {"z": 1}}, "bad_arguments", "/kwargs", "unexpected keyword argument 'z'"),
        ({"task": ADD, "args": [1], "kwargs": {"x": 1}}, "bad_arguments", "/kwargs", "multiple values"),
        ({"task": "feeds.check", "args": ["a", "b"]}, "bad_arguments", "/args", "(url: str)"),
        ({}, "invalid_body", "/task", "Field required"),
        ([], "invalid_body", "", "Expected a JSON object."),
        ("", "invalid_body", "", "Expected a JSON object."),
        ({"task": NOOP, "prioritty": 1}, "invalid_body", "/prioritty", "Did you mean 'priority'?"),
        ({"task": NOOP, "type": NOOP}, "invalid_body", "/type", "the same field by two names"),
        ({"task": NOOP, "priority": "urgent"}, "invalid_body", "/priority", "low, normal, high, critical"),
        ({"task": NOOP, "priority": 101}, "invalid_body", "/priority", "-100 to 100"),
        ({"task": NOOP, "priority": True}, "invalid_body", "/priority", "-100 to 100"),
        ({"task": NOOP, "delay": -1}, "invalid_body", "/delay", "greater than or equal to 0"),
        ({"task": NOOP, "delay": 1e300}, "invalid_body", "/delay", "less than or equal to"),
        ({"task": NOOP, "delay": "5"}, "invalid_body", "/delay", "valid number"),
        ({"task": NOOP, "run_at": "2030-01-01T00:00:00"}, "invalid_body", "/run_at", "timezone"),
        ({"task": NOOP, "run_at": "9999-12-31T23:59:59-12:00"}, "invalid_body", "/run_at", "ten years"),
        ({"task": NOOP, "expires": "soon"}, "invalid_body", "/expires", "valid datetime"),
        ({"task": NOOP, "expires": -5}, "invalid_body", "/expires", "greater than or equal to 0"),
        ({"task": NOOP, "max_retries": 10**9}, "invalid_body", "/max_retries", "less than or equal to"),
        ({"task": NOOP, "tags": {"a": 1}}, "invalid_body", "/tags/a", "valid string"),
        ({"task": NOOP, "reference": {"type": "x"}}, "invalid_body", "/reference/id", "Field required"),
        ({"task": NOOP, "queue": ""}, "invalid_body", "/queue", "at least 1 character"),
        ({"task": NOOP, "name": "a\x00"}, "invalid_body", "/name", "NUL"),
        ({"task": NOOP, "queue": "\ud800"}, "invalid_body", "/queue", "unicode"),
        ({"task": ADD, "args": ["\ud800", 1]}, "invalid_job", "", "surrogate"),
        ({"task": NOOP, "tags": {"a": "\ud800"}}, "invalid_job", "", "surrogate"),
        ({"task": NOOP, "reference": {"type": "a", "id": "\x00"}}, "invalid_body", "/reference/id", "NUL"),
        (f'{{"task": "{ADD}", "args": [1e999, 1]}}', "invalid_job", "", "can't be written as JSON"),
        ({"task": ADD, "args": [{"__type__": "x", "__value__": 1}, 1]}, "invalid_job", "", "__type__"),
    ],
)  # fmt: skip
def test_a_body_that_is_no_job_is_refused_with_its_place(api, body, code, pointer, says):
    found = problem(post(api, body), 422, code)
    assert pointers(found) == [pointer]
    assert says in found["errors"][0]["detail"]
    assert says in found["detail"]
    assert not Job.objects.exists()


@pytest.mark.parametrize("field", ["depends_on"])
def test_what_the_platform_does_not_do_yet_is_refused_not_ignored(api, field):
    found = problem(post(api, {"task": NOOP, field: 300}), 422, "invalid_body")
    assert found["errors"][0]["pointer"] == f"/{field}"
    assert found["errors"][0]["detail"].startswith("Not supported yet")
    assert not Job.objects.exists()


def test_a_caller_shapes_the_retries(api):
    shape = {"max_retries": 9, "retry_delay": 2, "retry_backoff": 3, "retry_backoff_max": 60}
    assert post(api, {"task": NOOP, "retry_for": 600, **shape}).status_code == 201
    job = Job.objects.get()
    assert json.loads(job.options) == shape
    assert (job.retry_until - job.created_at).total_seconds() == 600
    for field, value in (("retry_delay", -1), ("retry_backoff", 0.5), ("retry_backoff_max", "1"), ("retry_for", 0)):
        assert pointers(problem(post(api, {"task": NOOP, field: value}), 422, "invalid_body")) == [f"/{field}"]


def test_the_printed_example_with_a_timeout_works_as_printed(api):
    body = {"handler": NOOP, "args": [], "kwargs": {}, "priority": "normal", "timeout": 300}
    created = post(api, body)
    assert created.status_code == 201
    assert (created.json()["status"], created.json()["timeout"]) == ("pending", 300)
    assert problem(post(api, body | {"timeout": 0}), 422, "invalid_body")["errors"][0]["pointer"] == "/timeout"


@pytest.mark.parametrize(
    "body",
    ["{", b"\xff\xfe\xfa", '{"task": NaN}', '{"a": ' + "9" * 5000 + "}", "[" * 100_000],
    ids=["cut", "bytes", "NaN", "long number", "deep"],
)
def test_what_is_no_json_is_a_400(api, body):
    assert "no JSON" in problem(post(api, body), 400, "invalid_json")["detail"]


def test_arguments_nested_deeply_are_no_server_error(api):
    left, right = "[" * 500, "]" * 500
    body = f'{{"task": "{ADD}", "args": [1, {left}1{right}]}}'
    problem(post(api, body), 422, "invalid_job")


def test_only_json_is_taken(api):
    problem(post(api, "task=x", content_type="application/x-www-form-urlencoded"), 415, "not_json")


@pytest.mark.parametrize("size", [2**20 + 1, 3 * 2**20])
def test_a_body_over_one_mebibyte_is_refused(api, size):
    problem(post(api, "[" + " " * (size - 2) + "]"), 413, "body_too_large")


def test_several_faults_are_all_told(api):
    found = problem(post(api, {"task": NOOP, "delay": -1, "queue": ""}), 422, "invalid_body")
    assert sorted(pointers(found)) == ["/delay", "/queue"]


def test_a_fresh_process_knows_the_tasks_of_every_installed_app():
    code = f"import django; django.setup(); from jobs.submit import find_task; print(find_task({ADD!r}).name)"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.support.settings"}
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert found.stdout.strip() == ADD, found.stderr
