"""The door of the API: who gets in, and that every error is a problem."""

import json
import logging

import pytest
from django.db import connection
from django.test import Client

from tests.support import tasks  # noqa: F401  registers them
from tests.support.api import TOKEN, problem
from tests.support.rows import make_job

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("api")]

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
        "/api/jobs/schedules",
        "/api/jobs/schedules/preview",
        "/api/jobs/schedules/{schedule_id}",
        *(
            f"/api/jobs/schedules/{{schedule_id}}/{what}"
            for what in ("trigger", "pause", "resume", "backfill", "preview", "occurrences")
        ),
        "/api/admin/scheduled-jobs",
        "/api/admin/scheduled-jobs/{schedule_id}",
        "/api/admin/scheduled-jobs/{schedule_id}/toggle",
    }
    assert {"type": "http", "scheme": "bearer"} in found["components"]["securitySchemes"].values()
