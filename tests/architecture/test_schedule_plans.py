"""The beat's statements use the indexes that they were written for, and each of them is used."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from schedules.sql import HERE, statement

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def full(django_db_setup: None, django_db_blocker: Any) -> Any:
    """20,000 schedules of which few are due, each with a history, with statistics."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO django_celery_beat_periodictask (name, task, args, kwargs, headers, enabled, one_off,
                                                         total_run_count, date_changed, description)
            SELECT 'plan ' || n, 't', '[]', '{}', '{}', n % 10 > 0, false, 0, now(), ''
              FROM generate_series(1, 20000) AS n;
            UPDATE schedules_schedule SET next_run_at = '2026-01-01T00:00Z'::timestamptz
                                                        + (periodic_task_id - 20) * interval '1 s'
              FROM django_celery_beat_periodictask AS p WHERE p.id = periodic_task_id AND p.name LIKE 'plan %';
            INSERT INTO schedules_occurrence (schedule_id, due_at, kind, state, job_id)
            SELECT s.periodic_task_id, now() - n * interval '1 day', 'schedule', 'fired', gen_random_uuid()
              FROM schedules_schedule AS s JOIN django_celery_beat_periodictask AS p ON p.id = s.periodic_task_id,
                   generate_series(1, 5) AS n
             WHERE p.name LIKE 'plan %';
            ANALYZE schedules_schedule, schedules_occurrence, django_celery_beat_periodictask;
            """
        )
        yield cursor
        cursor.execute("DELETE FROM django_celery_beat_periodictask WHERE name LIKE 'plan %'")
        cursor.execute("ANALYZE schedules_schedule, schedules_occurrence")


def plan(cursor: Any, name: str, **params: Any) -> str:
    cursor.execute(f"EXPLAIN {statement(name)}", params)
    return "\n".join(row[0] for row in cursor.fetchall())


def test_what_is_due_is_found_by_its_index_in_its_order(full: Any) -> None:
    said = plan(full, "take", now=NOW, limit=200)
    assert said.count("Index Scan using schedules_due on schedules_schedule s") == 2, said
    assert "Index Cond: (COALESCE(retry_at, next_run_at) <=" in said
    assert "Index Cond: (COALESCE(retry_at, next_run_at) IS NULL)" in said
    assert "using schedules_resuming" in said
    assert "Seq Scan on schedules_schedule" not in said
    assert "Seq Scan on django_celery_beat_periodictask" not in said


def test_a_look_of_an_idle_beat_reads_the_first_entry_only(full: Any) -> None:
    said = plan(full, "look")
    assert "using schedules_due" in said
    assert "using schedules_one_waits" in said
    assert "Seq Scan" not in said, said


OCCURRENCES = '[{"schedule_id": 1, "last_due_at": "2026-01-01T00:00Z", "count": 1, "state": "missed", "reason": ""}]'


@pytest.mark.parametrize(
    ("name", "params", "index"),
    [
        ("waiting", {"limit": 200}, "schedules_one_waits"),
        ("recent", {"ids": [1, 2], "most": 50}, "schedules_runs"),
        ("join", {"occurrences": OCCURRENCES}, "schedules_history"),
        ("old", {"days": 90, "limit": 1000}, "schedules_oldest"),
    ],
)
def test_of_the_history_only_what_is_asked_for_is_read(full: Any, name: str, params: Any, index: str) -> None:
    said = plan(full, name, **params)
    assert index in said, said
    assert "Seq Scan on schedules_occurrence" not in said, said


def test_every_statement_is_used() -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "schedules").rglob("*.py"))
    assert [path.stem for path in HERE.glob("*.sql") if f'"{path.stem}"' not in code] == []
