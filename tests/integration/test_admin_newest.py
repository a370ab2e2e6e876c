"""The list of jobs begins with the newest, and reads no more of the table than it shows."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.support.rows import make_job

pytestmark = pytest.mark.django_db
JOBS = "/admin/jobs/job/"


def the_list(query: str) -> tuple[str, str]:
    """The page, and the statement that reads its rows."""
    client = Client()
    client.force_login(User.objects.create_superuser(f"ada{query}"))
    with CaptureQueriesContext(connection) as asked:
        page = client.get(JOBS + query).content.decode()
    return page, next(q["sql"] for q in asked if 'ORDER BY "jobs_job"."created_at" DESC' in q["sql"])


@pytest.mark.parametrize("query", ["", "?queue=default"])
def test_the_newest_jobs_are_found_without_reading_the_others(query: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO jobs_job"
            " (id, task, queue, state, priority, rank, ready_at, args, kwargs, created_at, updated_at)"
            " SELECT gen_random_uuid(), 'a.b', 'default', 'pending', 0, 0, now(), '[]', '{}',"
            " now() - n * interval '1 s', now() FROM generate_series(1, 5000) n"
        )
        cursor.execute("ANALYZE jobs_job")
        _, statement = the_list(query)
        cursor.execute(f"EXPLAIN {statement}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "jobs_newest" in plan
    assert "Seq Scan" not in plan


def test_a_new_job_comes_first_whatever_its_id_and_state() -> None:
    now = datetime.now(UTC)
    names = ["oldest", "older", "newer", "newest"]
    states = ["running", "pending", "completed", "scheduled"]
    for age, (name, state) in enumerate(zip(reversed(names), states, strict=True)):
        make_job(name=name, state=state, created_at=now - timedelta(days=age))
    page, _ = the_list("")
    assert sorted(names, key=lambda name: page.index(f"· {name}<")) == ["newest", "newer", "older", "oldest"]
