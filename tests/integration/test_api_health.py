"""Health: what it calls well, what it calls degraded, and that it answers whatever is away."""

import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import current_app
from django.db import connection
from django.test import Client

from jobs.engine.dispatch import LOCK_FAMILY
from jobs.engine.sql import statement
from jobs.health import broker_problem
from jobs.models import Queue
from tests.support.api import TOKEN
from tests.support.rows import make_job, make_worker


@pytest.fixture(autouse=True)
def _token(settings):
    settings.ADMIN_API_TOKEN = TOKEN


@pytest.fixture
def dispatcher(db) -> Iterator[None]:
    """The lock that an active dispatcher holds."""
    with connection.cursor() as cursor:
        cursor.execute(statement("lead"), {"family": LOCK_FAMILY, "key": 1})
        yield
        cursor.execute("SELECT pg_advisory_unlock(%s, 1)", [LOCK_FAMILY])


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def health(status: int = 200, *, token: bool = False) -> dict[str, Any]:
    answer = Client(headers={"Authorization": f"Bearer {TOKEN}"} if token else {}).get("/api/health")
    assert answer.status_code == status, answer.content
    return answer.json()


def detail(name: str, status: int = 200) -> str:
    return next(check["detail"] for check in health(status, token=True)["checks"] if check["name"] == name)


@pytest.mark.django_db
def test_a_site_without_work_is_well_even_without_dispatcher_and_workers():
    make_job(state="completed")
    make_job(state="scheduled", run_at=datetime.now(UTC) + timedelta(hours=1))
    assert health() == {"status": "ok", "failing": []}


def test_a_site_whose_jobs_are_served_is_well(dispatcher):
    make_job()
    make_worker()
    assert health() == {"status": "ok", "failing": []}


@pytest.mark.django_db
def test_jobs_that_wait_without_a_dispatcher_are_told():
    make_job()
    make_worker()
    assert health() == {"status": "degraded", "failing": ["dispatcher"]}
    assert "manage.py dispatch" in detail("dispatcher")


@pytest.mark.django_db
@pytest.mark.parametrize("state", ["scheduled", "retrying"])
def test_an_overdue_job_without_a_dispatcher_is_told(state):
    make_job(state=state, run_at=datetime.now(UTC) - timedelta(minutes=1))
    assert health()["failing"] == ["dispatcher"]


def test_jobs_of_a_queue_that_no_worker_serves_are_told(dispatcher):
    make_job(queue="mail")
    make_job(queue="default")
    make_worker(queues=["default", "other"])
    assert health() == {"status": "degraded", "failing": ["workers"]}
    assert "Jobs wait in mail, which no live worker serves" in detail("workers")


@pytest.mark.parametrize(
    "gone",
    [
        {"heartbeat_at": datetime.now(UTC) - timedelta(hours=1)},
        {"stopping_at": datetime.now(UTC)},
        {"stopped_at": datetime.now(UTC)},
        {"lost_at": datetime.now(UTC)},
    ],
    ids=lambda columns: next(iter(columns)),
)
def test_a_worker_that_takes_no_jobs_does_not_count(dispatcher, gone):
    make_job()
    make_worker(**gone)
    assert health()["failing"] == ["workers"]


def test_jobs_of_a_paused_queue_wait_rightly(dispatcher):
    Queue.objects.create(name="mail", paused_at=datetime.now(UTC))
    make_job(queue="mail")
    assert health()["status"] == "ok"


@pytest.mark.django_db
@pytest.mark.parametrize("header", ["", "Bearer wrong"])
def test_without_a_valid_token_there_are_no_details(header):
    make_job()
    answer = Client(headers={"Authorization": header} if header else {}).get("/api/health")
    assert answer.json() == {"status": "degraded", "failing": ["dispatcher", "workers"]}


def test_with_the_token_there_are_figures(dispatcher):
    since = datetime(2026, 1, 1, tzinfo=UTC)
    make_job(ready_at=since)
    make_job()
    make_worker(heartbeat_at=datetime.now(UTC) - timedelta(seconds=20))
    make_worker()
    found = health(token=True)
    assert found["pending"] == {"count": 2, "capped": False, "oldest_ready_at": "2026-01-01T00:00:00Z"}
    assert (found["dispatchers"], found["workers"]["alive"]) == (1, 2)
    heartbeat = datetime.fromisoformat(found["workers"]["last_heartbeat_at"])
    assert datetime.now(UTC) - heartbeat < timedelta(seconds=15)


@pytest.mark.django_db
def test_counting_stops_at_its_cap(monkeypatch):
    monkeypatch.setattr("jobs.queries.COUNTED", 2)
    for _ in range(4):
        make_job()
    assert health(token=True)["pending"] | {"oldest_ready_at": None} == {
        "count": 2,
        "capped": True,
        "oldest_ready_at": None,
    }


@pytest.mark.django_db
def test_a_probe_may_ask_by_head():
    assert Client().head("/api/health").status_code == 200


@pytest.mark.django_db
def test_a_database_without_its_migrations_is_unavailable():
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'jobs'")
    assert health(503) == {"status": "unavailable", "failing": ["migrations"]}
    assert "manage.py migrate" in detail("migrations", 503)


def test_a_database_that_is_away_is_unavailable(django_db_setup, django_db_blocker, monkeypatch, closed_port):
    with django_db_blocker.unblock():
        connection.close()
        monkeypatch.setitem(connection.settings_dict, "HOST", "127.0.0.1")
        monkeypatch.setitem(connection.settings_dict, "PORT", str(closed_port))
        assert health(503) == {"status": "unavailable", "failing": ["database"]}
        answer = Client(headers={"Authorization": f"Bearer {TOKEN}"}).get("/api/jobs/x")
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
        connection.close()


@pytest.mark.django_db
def test_a_broker_that_is_away_is_unavailable(monkeypatch, closed_port):
    monkeypatch.setattr(current_app.conf, "broker_write_url", f"redis://:hidden@127.0.0.1:{closed_port}/0")
    assert health(503) == {"status": "unavailable", "failing": ["broker"]}
    assert "hidden" not in detail("broker", 503)


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_never_answers_does_not_hold_health_up(monkeypatch, silent_port, scheme):
    monkeypatch.setattr(current_app.conf, "broker_write_url", f"{scheme}://127.0.0.1:{silent_port}//")
    begun = time.monotonic()
    assert "answer" in broker_problem(timeout=1.5)
    assert time.monotonic() - begun < 2.5


def test_health_waits_no_longer_than_it_says(monkeypatch, silent_port):
    monkeypatch.setattr(current_app.conf, "broker_write_url", f"redis://127.0.0.1:{silent_port}/0")
    assert broker_problem(timeout=0.2) == "The broker did not answer within 0.2 s."


def test_a_broker_that_answers_is_no_problem():
    assert broker_problem(timeout=30) == ""
