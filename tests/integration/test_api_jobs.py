"""The API for jobs that are there: what it shows of them, and what a caller may do with them."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from jobs.models import AuditEntry, Job
from jobs.queries import status_of
from jobs.states import State
from tests.support import tasks  # noqa: F401  registers them
from tests.support.api import problem
from tests.support.rows import make_job

NOOP = "tests.support.tasks.noop"

pytestmark = pytest.mark.django_db


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


def test_a_job_whose_key_another_one_holds_is_not_retried(api):
    job_id = make_job(state="failed", given_key="k")
    holder = make_job(unique_key="k", state="running")
    found = problem(api.post(f"/api/jobs/{job_id}/retry"), 409, "duplicate_job")
    assert f"job {holder}, which is running, holds its unique key 'k' now." in found["detail"]


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_verbs_need_a_token_and_a_job(api, client, verb):
    job_id = make_job(state="dead_letter")
    problem(client.post(f"/api/jobs/{job_id}/{verb}"), 401, "unauthorized")
    assert Job.objects.get(pk=job_id).state == "dead_letter"
    problem(api.post(f"/api/jobs/{UUID(int=7)}/{verb}"), 404, "job_not_found")
