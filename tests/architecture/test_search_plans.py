"""Lists read along the indexes that were made for them, though statistics say that there are no finished jobs."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import connection, transaction

from jobs.engine.link import Link
from jobs.engine.sql import statement
from jobs.search import search, ways
from jobs.search.terms import parse
from tests.support.engine import opened

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
pytestmark = pytest.mark.django_db


@pytest.fixture
def stale() -> Iterator[None]:
    """A long history since the statistics were made, which know a few pending jobs only; half of it at one moment."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO jobs_job"
            " (id, task, queue, state, priority, rank, ready_at, args, kwargs, created_at, updated_at)"
            " SELECT gen_random_uuid(), 't', 'q', 'pending', 0, n, now(), '[]', '{}', now(), now()"
            " FROM generate_series(1, 200) AS n"
        )
        cursor.execute("ANALYZE jobs_job")
        cursor.execute(
            """
            INSERT INTO jobs_job (id, task, queue, state, priority, rank, ready_at, args, kwargs, created_at,
                                  updated_at, finished_at, started_at, tags, reference_type, reference_id)
            SELECT gen_random_uuid(), 't' || n % 7, 'q' || n % 3,
                   CASE WHEN n % 20 = 0 THEN 'dead_letter' WHEN n % 500 = 1 THEN 'expired' ELSE 'completed' END,
                   10, n, now(), '[]', '{"user_id": 1}',
                   now() - greatest(n, 10000) * interval '1 s', now(), now(), now(),
                   jsonb_build_object('shop', 's' || n % 1000), 'order', n::text
              FROM generate_series(1, 20000) AS n
            """
        )
        yield
        transaction.set_rollback(True)


class Plans:
    """Each statement about jobs that a search runs along indexes, with the plan that it gets there."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "jobs_job" in sql and not sql.startswith("EXPLAIN"):
            with context["connection"].connection.cursor() as cursor:
                cursor.execute("SHOW enable_seqscan")
                if cursor.fetchone() == ("off",):
                    self.seen.append(explained(sql, params))
        return execute(sql, params, many, context)


def explained(sql: str, params: Any) -> str:
    with psycopg.ClientCursor(connection.connection) as cursor:
        cursor.execute(f"EXPLAIN {sql}", params)
        return "\n".join(row[0] for row in cursor.fetchall())


WALKED = "jobs_newest_first"
CASES = {
    "": WALKED,
    "state:completed": "jobs_lanes",
    "status:failed": "jobs_ended_badly",
    "state:expired": "jobs_ended_badly",
    "queue:q1": "jobs_lanes",
    "task:t3": "jobs_lanes",
    "task:t3 queue:q1": "jobs_lanes",
    "task:none": "jobs_lanes",
    "reference:order:7": "jobs_by_reference",
    "status:pending": "jobs_ready",
    "state:completed args.user_id:2": WALKED,
}


@pytest.mark.parametrize("query", CASES)
def test_a_search_reads_by_its_index_and_never_the_whole_table(
    stale: None, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ways, "GLANCE", 50)
    monkeypatch.setattr(ways, "max", lambda least, need: least, raising=False)
    plans = Plans()
    with connection.execute_wrapper(plans):
        search(parse(query), now=NOW)
    assert plans.seen
    assert not [plan for plan in plans.seen if "Seq Scan on jobs_job" in plan]
    assert any(CASES[query] in plan for plan in plans.seen), "\n\n".join(plans.seen)


def test_a_rare_tag_is_found_by_its_index(stale: None) -> None:
    """By statistics that know the finished jobs: else any of their indexes looks as good, and the time is bounded."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE jobs_job")
    plans = Plans()
    with connection.execute_wrapper(plans):
        search(parse("tag:shop=s7"), now=NOW)
    assert any("jobs_by_tag" in plan for plan in plans.seen), "\n\n".join(plans.seen)


@pytest.mark.parametrize("query", ["", "state:completed args.user_id:2", "worker:w -tag:x"])
def test_the_newest_are_walked_in_order_between_two_keys(stale: None, query: str) -> None:
    plans = Plans()
    with connection.execute_wrapper(plans):
        search(parse(query), now=NOW)
    walks = [plan for plan in plans.seen if "OFFSET" not in plan and "Scan Backward using jobs_newest_first" in plan]
    assert walks
    assert all("Sort" not in plan for plan in walks)
    assert all("ROW(created_at, id) < ROW(" in plan for plan in walks), walks


FRONT = {"created_at": "9999-12-30", "id": UUID(int=0), "since": "0001-01-02"}
STATEMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "lane_keys": ("jobs_lanes", {"tasks": ["t1"], "queues": ["q1"], "limit": 101, **FRONT}),
    "lane_count": (
        "jobs_lanes",
        {"tasks": ["t1"], "queues": ["q1"], "limit": 9, "since": "0001-01-02", "until": "9999-12-30"},
    ),
    "lanes": ("jobs_lanes", {"limit": 100}),
    "lanes_of": ("jobs_lanes", {"tasks": ["t1"], "limit": 100}),
    "ended_keys": ("jobs_ended_badly", {"states": ["expired"], "limit": 101, **FRONT}),
    "ended_count": (
        "jobs_ended_badly",
        {"states": ["expired"], "limit": 9, "since": "0001-01-02", "until": "9999-12-30"},
    ),
    "newest_end": (WALKED, {"most": 100, **FRONT}),
    "task_duration": ("jobs_lanes", {"task": "t1"}),
}


@pytest.mark.parametrize("name", STATEMENTS)
@pytest.mark.parametrize("seqscan", ["on", "off"])
def test_a_statement_of_lists_reads_its_own_index_only(stale: None, name: str, seqscan: str) -> None:
    index, params = STATEMENTS[name]
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL enable_seqscan = {seqscan}")
    said = explained(statement(name), params)
    if seqscan == "off":
        assert "Seq Scan on jobs_job" not in said
    assert set(re.findall(r"using (\w+) on jobs_job", said)) == {index}, said


@pytest.mark.django_db(transaction=True)
def test_a_page_within_many_jobs_of_one_moment_reads_no_more_than_it_shows() -> None:
    """As after a bulk call: were the index without the id, each page would read them all."""
    with opened() as link:
        count = buffers(link, 20_000)
        assert count < 150, count


def buffers(link: Link, jobs: int) -> int:
    """Pages of the table and its index that one page of the list in the midst of `jobs` jobs reads."""
    conn = link._open()
    conn.execute(
        "INSERT INTO jobs_job (id, task, queue, state, priority, rank, ready_at, args, kwargs, created_at, updated_at)"
        " SELECT gen_random_uuid(), 't', 'q', 'pending', 0, n, now(), '[]', '{}', '2026-01-01T00:00Z', now()"
        " FROM generate_series(1, %s) AS n",
        [jobs],
    )
    conn.execute("VACUUM ANALYZE jobs_job")
    place = {"created_at": "2026-01-01T00:00Z", "id": UUID(int=2**127), "since": "0001-01-02", "most": 100}
    with psycopg.ClientCursor(conn) as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement('newest_end')}", place)
        plan = cursor.fetchone()[0][0]["Plan"]
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
