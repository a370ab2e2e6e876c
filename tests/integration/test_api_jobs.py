"""The API for jobs: what it takes, what it refuses, and that both are said in full."""

import json
import logging
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from celery import shared_task
from django.db import connection
from django.test import Client

from jobs.models import AuditEntry, Job
from jobs.queries import status_of
from jobs.states import State
from tests.support import tasks  # noqa: F401  registers them
from tests.support.api import TOKEN, client, post, problem
from tests.support.rows import make_job

ADD = "tests.support.tasks.add"
NOOP = "tests.support.tasks.noop"
ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.django_db


@shared_task(name="tests.untracked", track=False)
def untracked():
    return None


@pytest.fixture(autouse=True)
def _token(settings):
    settings.ADMIN_API_TOKEN = TOKEN


@pytest.fixture
def api() -> Client:
    return client()


def pointers(found: dict[str, Any]) -> list[str]:
    return [error["pointer"] for error in found["errors"]]


# --- submit ---


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


# --- refused ---


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


# --- look ---


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("blocked", "pending"),
        ("scheduled", "pending"),
        ("pending", "pending"),
        ("dispatched", "pending"),
        ("running", "running"),
        ("retrying", "retrying"),
        ("completed", "completed"),
        ("failed", "failed"),
        ("dead_letter", "dead_letter"),
        ("cancelled", "cancelled"),
        ("expired", "cancelled"),
    ],
)
def test_every_state_has_a_word_of_the_contract(api, state, status):
    job_id = make_job(state=state)
    for path in (f"/api/jobs/{job_id}", f"/api/jobs/{job_id}/status", f"/api/jobs/{job_id}/result"):
        found = api.get(path).json()
        assert (found["job_id"], found["status"], found["state"]) == (str(job_id), status, state)


def test_no_state_is_without_a_word_of_the_contract():
    words = {"pending", "running", "completed", "failed", "cancelled", "retrying", "dead_letter"}
    assert {status_of(Job(state=state)) for state in State} <= words


def test_status_shows_progress_as_printed(api):
    progress = {"current": 50, "total": 100, "percentage": 50.0, "message": "half", "metadata": {}}
    started = datetime(2025, 11, 14, 10, 0, 5, tzinfo=UTC)
    job_id = make_job(state="running", progress=progress, started_at=started, created_at=started)
    assert api.get(f"/api/jobs/{job_id}/status").json() == {
        "job_id": str(job_id),
        "status": "running",
        "state": "running",
        "progress": progress,
        "attempts": 1,
        "created_at": "2025-11-14T10:00:05Z",
        "started_at": "2025-11-14T10:00:05Z",
        "completed_at": None,
        "next_retry_at": None,
    }


def test_a_result_has_its_duration_and_end(api):
    ended = datetime(2025, 11, 14, 10, 0, 17, tzinfo=UTC)
    job_id = make_job(state="completed", result={"a": 1}, started_at=ended - timedelta(seconds=12.5), finished_at=ended)
    found = api.get(f"/api/jobs/{job_id}/result").json()
    assert (found["result"], found["duration"], found["completed_at"]) == ({"a": 1}, 12.5, "2025-11-14T10:00:17Z")


def test_before_the_end_the_result_is_null(api):
    answer = api.get(f"/api/jobs/{make_job(state='running')}/result")
    assert (answer.status_code, answer.json()["result"], answer.json()["duration"]) == (200, None, None)


def test_a_failed_job_has_an_error_and_no_result(api):
    job_id = make_job(state="dead_letter", error="ValueError: no", result={"exc_type": "ValueError"})
    found = api.get(f"/api/jobs/{job_id}/result").json()
    assert (found["result"], found["error"]) == (None, "ValueError: no")


def test_a_retrying_job_says_when_it_runs_again(api):
    run_at = datetime(2030, 1, 1, tzinfo=UTC)
    found = api.get(f"/api/jobs/{make_job(state='retrying', run_at=run_at, attempt=2)}").json()
    assert (found["next_retry_at"], found["retry_count"], found["attempts"]) == ("2030-01-01T00:00:00Z", 1, 2)
    assert api.get(f"/api/jobs/{make_job(state='scheduled', run_at=run_at)}").json()["next_retry_at"] is None


def test_values_that_json_lacks_are_shown_plain(api):
    value = [datetime(2030, 1, 1, tzinfo=UTC), UUID(int=7), {"__type__": "uuid", "__value__": 1}]
    job_id = make_job(state="completed", result=value)
    assert api.get(f"/api/jobs/{job_id}/result").json()["result"] == [
        "2030-01-01T00:00:00+00:00",
        str(UUID(int=7)),
        {"__type__": "uuid", "__value__": 1},
    ]


@pytest.mark.parametrize("job_id", [UUID(int=5), "nope", "1", "%00", "%ED%A0%80", "x" * 3000])
@pytest.mark.parametrize("rest", ["", "/status", "/result"])
def test_a_job_that_is_not_there_is_a_404(api, job_id, rest):
    problem(api.get(f"/api/jobs/{job_id}{rest}"), 404, "job_not_found")


# --- the door ---

PROTECTED = [
    ("get", "/api/jobs/x"),
    ("get", "/api/jobs/x/status"),
    ("get", "/api/jobs/x/result"),
    ("post", "/api/jobs"),
    ("post", "/api/jobs/submit"),
]


@pytest.mark.parametrize(("method", "path"), PROTECTED)
@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer é"])
def test_without_the_token_nothing_is_shown_or_done(method, path, header):
    answer = getattr(Client(headers={"Authorization": header} if header else {}), method)(path)
    problem(answer, 401, "unauthorized")
    assert answer["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("configured", ["", None])
@pytest.mark.parametrize("header", ["Bearer ", "Bearer None"])
def test_while_no_token_is_configured_nobody_gets_in(settings, configured, header):
    settings.ADMIN_API_TOKEN = configured
    found = problem(Client(headers={"Authorization": header}).get("/api/jobs/x"), 401, "unauthorized")
    assert "ADMIN_API_TOKEN" in found["detail"]


@pytest.mark.filterwarnings("ignore:Django checks for ServeStatic")
@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
def test_a_token_is_never_logged(settings, caplog, scheme):
    settings.DEBUG = True
    with caplog.at_level(logging.DEBUG):
        Client(headers={"Authorization": f"{scheme} secret-secret"}).get("/api/jobs/x")
    assert "secret-secret" not in caplog.text


# --- errors of every kind are problems ---


@pytest.mark.parametrize("path", ["/api/", "/api/nothing", "/api/jobs/a/b/c", "/api/jobs/"])
@pytest.mark.parametrize("method", ["get", "post", "put", "delete", "options"])
def test_an_unknown_route_is_a_problem(api, method, path):
    problem(getattr(api, method)(path), 404, "not_found")


def test_a_wrong_method_is_a_problem_that_says_the_right_ones(api):
    answer = api.delete("/api/jobs/submit")
    problem(answer, 405, "method_not_allowed")
    assert "POST" in answer["Allow"]


@pytest.mark.filterwarnings("ignore:Django checks for ServeStatic")
def test_a_failure_of_the_server_shows_no_traceback_and_is_logged(api, caplog, settings):
    settings.DEBUG = True
    job_id = make_job()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_job SET args = '{broken' WHERE id = %s", [job_id])
    found = problem(api.get(f"/api/jobs/{job_id}"), 500, "internal_error")
    assert "Traceback" not in json.dumps(found)
    assert "api: request failed" in caplog.text


def test_the_documentation_needs_nothing_from_the_internet(client):
    page = client.get("/api/docs").content.decode()
    assert "swagger-ui-bundle.js" in page
    assert "//" not in page.replace("</", "")


def test_openapi_describes_every_route(client):
    found = client.get("/api/openapi.json").json()
    assert set(found["paths"]) == {
        "/api/jobs",
        "/api/jobs/submit",
        "/api/jobs/{job_id}",
        "/api/jobs/{job_id}/status",
        "/api/jobs/{job_id}/result",
        "/api/jobs/{job_id}/explain",
        "/api/jobs/{job_id}/cancel",
        "/api/jobs/{job_id}/retry",
        "/api/health",
    }
    assert {"type": "http", "scheme": "bearer"} in found["components"]["securitySchemes"].values()


# --- explain ---


def test_a_job_explains_why_it_is_not_running(api, client):
    job_id = make_job(queue="mail")
    found = api.get(f"/api/jobs/{job_id}/explain").json()
    assert (found["job_id"], found["state"]) == (str(job_id), "pending")
    assert [reason["code"] for reason in found["reasons"]] == ["no_dispatcher", "no_worker"]
    assert found["reasons"][1]["text"] == "No live worker serves its queue mail."
    assert "celery -A jobsite worker" in found["reasons"][1]["advice"]
    problem(client.get(f"/api/jobs/{job_id}/explain"), 401, "unauthorized")
    problem(api.get(f"/api/jobs/{UUID(int=7)}/explain"), 404, "job_not_found")


# --- cancel and retry ---


@pytest.mark.parametrize(
    ("state", "status", "said"),
    [
        ("pending", 200, {"cancelled": True, "cancel_requested": False}),
        ("retrying", 200, {"cancelled": True, "cancel_requested": False}),
        ("running", 202, {"cancelled": False, "cancel_requested": True}),
        ("completed", 200, {"cancelled": False, "cancel_requested": False}),
    ],
)
def test_cancel_says_what_it_did(api, state, status, said):
    job_id = make_job(state=state)
    answer = api.post(f"/api/jobs/{job_id}/cancel")
    assert (answer.status_code, answer.json()) == (status, said)
    assert Job.objects.get(pk=job_id).state == ("cancelled" if said["cancelled"] else state)
    assert AuditEntry.objects.filter(actor="api token", ip="127.0.0.1").exists() == any(said.values())


def test_a_dead_letter_is_retried_as_the_same_job(api):
    job_id = make_job(state="dead_letter")
    answer = api.post(f"/api/jobs/{job_id}/retry")
    assert (answer.status_code, answer.json()) == (200, {"job_id": str(job_id), "status": "pending"})
    assert Job.objects.get(pk=job_id).epoch == 2


def test_a_completed_job_is_not_retried(api):
    found = problem(api.post(f"/api/jobs/{make_job(state='completed')}/retry"), 409, "not_retryable")
    assert "is completed" in found["detail"]


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_verbs_need_a_token_and_a_job(api, client, verb):
    job_id = make_job(state="dead_letter")
    problem(client.post(f"/api/jobs/{job_id}/{verb}"), 401, "unauthorized")
    assert Job.objects.get(pk=job_id).state == "dead_letter"
    problem(api.post(f"/api/jobs/{UUID(int=7)}/{verb}"), 404, "job_not_found")
