"""Two doors: rows are written by the engine's statements only, and these use the indexes that they were written for."""

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection

from jobs.engine.finish import columns_of
from jobs.engine.floors import HIGHEST, LOWEST
from jobs.engine.link import Link
from jobs.engine.sql import HERE, statement
from jobs.errors import EngineOnly
from jobs.models import Attempt, Job, Lease, Worker
from tests.support.engine import NODE, opened, outcome

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.stem for path in HERE.glob("*.sql"))
SQL = re.compile(r"^\s*(--.*\n)*\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH \w+ AS)\b.*\b(jobs_\w+)", re.S)


@pytest.mark.parametrize("model", [Job, Attempt, Lease, Worker])
@pytest.mark.parametrize(
    "write",
    [
        lambda rows: rows.create(),
        lambda rows: rows.update(state="x"),
        lambda rows: rows.delete(),
        lambda rows: rows.bulk_create([rows.model()]),
        lambda rows: rows.bulk_update([], ["x"]),
        lambda rows: rows.get_or_create(),
        lambda rows: rows.update_or_create(),
        lambda rows: rows.model().save(),
        lambda rows: rows.model().delete(),
        lambda rows: rows.model().save_base(),
    ],
    ids=[
        "create",
        "update",
        "delete",
        "bulk_create",
        "bulk_update",
        "get_or_create",
        "update_or_create",
        "save",
        "delete one",
        "save_base",
    ],
)
def test_a_write_past_the_engine_is_refused_with_the_verb_to_use(model: Any, write: Any) -> None:
    with pytest.raises(EngineOnly, match=rf"{model.__name__} rows are written by the engine only: use task.delay\(\)"):
        write(model.objects.all())


def strings(path: Path) -> list[str]:
    return [
        node.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def test_sql_about_jobs_is_written_in_the_statements_only() -> None:
    places = [*(ROOT / "jobs" / "engine").rglob("*.py"), *(ROOT / "jobs" / "app").rglob("*.py")]
    assert places
    guilty = [(path.name, text[:60]) for path in places for text in strings(path) if SQL.match(text)]
    assert guilty == []


def test_every_statement_is_used() -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "jobs").rglob("*.py"))
    unused = [name for name in NAMES if f'"{name}"' not in code]
    assert unused == []


@pytest.fixture(scope="module")
def full(django_db_setup: None, django_db_blocker: Any) -> Any:
    """A table as a busy site has it: mostly finished jobs, some of every live state, with statistics."""
    with django_db_blocker.unblock(), opened() as link:
        link._open().execute(
            """
            INSERT INTO jobs_job (id, task, queue, state, priority, rank, ready_at, args, kwargs, created_at,
                                  updated_at, finished_at, run_at, lease, started_at)
            SELECT gen_random_uuid(), 't' || n % 7, 'q' || n % 3, s.state, 10, n * 1000, now(), '[]', '{}', now(),
                   now(),
                   CASE WHEN s.state IN ('completed', 'dead_letter') THEN now() - n * interval '1 s' END,
                   CASE WHEN s.state IN ('scheduled', 'retrying') THEN now() + n * interval '1 s' END,
                   CASE WHEN s.state IN ('dispatched', 'running') THEN gen_random_uuid() END, now()
              FROM generate_series(1, 60000) AS n,
                   LATERAL (SELECT CASE WHEN n % 6 = 0 THEN 'pending' WHEN n % 40 = 1 THEN 'scheduled'
                                        WHEN n % 40 = 2 THEN 'retrying' WHEN n % 100 = 3 THEN 'running'
                                        WHEN n % 50 = 4 THEN 'dispatched' WHEN n % 30 = 5 THEN 'dead_letter'
                                        ELSE 'completed' END AS state) AS s
            """
        )
        link._open().execute("ANALYZE jobs_job")
        yield link
        link._open().execute("TRUNCATE jobs_job")


def plan(link: Link, name: str, **params: Any) -> str:
    """The plan that the platform's connections keep for a statement, which knows no value."""
    conn = link._open()
    names = prepare(conn, name)
    try:
        with psycopg.ClientCursor(conn) as cursor:
            values = f"({', '.join(f'%({parameter})s' for parameter in names)})" if names else ""
            cursor.execute(f"EXPLAIN EXECUTE prepared{values}", params)
            return "\n".join(row[0] for row in cursor.fetchall())
    finally:
        conn.execute("DEALLOCATE prepared")


def prepare(conn: psycopg.Connection, name: str) -> list[str]:
    """Prepare a statement with PostgreSQL's own placeholders; returns the names of those."""
    numbers: dict[str, int] = {}
    text = re.sub(r"%\((\w+)\)s", lambda found: f"${numbers.setdefault(found[1], len(numbers) + 1)}", statement(name))
    types = [OF_TYPE.get(parameter, "unknown") for parameter in numbers]
    conn.execute(f"PREPARE prepared{'(' + ', '.join(types) + ')' if types else ''} AS {text.replace('%%', '%')}")
    return list(numbers)


BOUNDS = {"rank": LOWEST[0], "id": LOWEST[1], "last_rank": HIGHEST[0], "last_id": HIGHEST[1]}


def test_the_claim_walks_the_ready_index_in_its_order(full: Link) -> None:
    said = plan(full, "front", queue="q0", limit=20, **BOUNDS)
    assert "Index Scan using jobs_ready" in said
    assert "Sort" not in said


def test_a_claim_that_begins_further_on_skips_the_entries_before(full: Link) -> None:
    said = plan(full, "front", queue="q0", limit=20, **{**BOUNDS, "rank": 5, "id": uuid4()})
    assert "AND (ROW(rank, id) >= ROW(" in said, said


def test_what_a_pause_holds_is_found_at_the_front_of_its_queue(full: Link) -> None:
    said = plan(full, "hold", queue="q0", limit=20)
    assert "Index Scan using jobs_ready" in said
    assert "Seq Scan on jobs_job" not in said


def test_what_an_ended_pause_held_is_found_by_it(full: Link) -> None:
    said = plan(full, "resume", limit=2000)
    assert "using jobs_paused" in said
    assert "Seq Scan on jobs_job" not in said


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("promote", "run_at <= statement_timestamp()"),
        ("expire", "expires_at <= statement_timestamp()"),
        ("release_keys", "unique_until <= statement_timestamp()"),
        ("old_jobs", "finished_at < (statement_timestamp()"),
        ("old_dead_letters", "finished_at < (statement_timestamp()"),
    ],
)
def test_what_is_not_due_is_not_read(full: Link, name: str, bound: str) -> None:
    """The time is a bound of the index: else each look reads all that waits."""
    conditions = [line for line in plan(full, name, **DUE[name]).splitlines() if "Index Cond" in line]
    assert any(bound in line for line in conditions), conditions


DUE: dict[str, dict[str, Any]] = {
    "promote": {"limit": 1000, "aging_us": 1},
    "expire": {"limit": 1000},
    "release_keys": {"limit": 100},
    "old_jobs": {"finished_at": datetime(1970, 1, 1, tzinfo=UTC), "id": uuid4(), "days": 7, "limit": 100},
    "old_dead_letters": {"queue": "q0", "days": 30, "limit": 100},
}


def test_how_long_a_task_takes_is_read_from_its_own_jobs(full: Link) -> None:
    said = plan(full, "task_duration", task="no such task")
    assert set(re.findall(r"using (\w+) on jobs_job", said)) == {"jobs_lanes"}, said


def test_promotion_walks_the_index_of_waiting_jobs(full: Link) -> None:
    said = plan(full, "promote", limit=1000, aging_us=1)
    assert "using jobs_waiting" in said
    assert "Seq Scan on jobs_job" not in said


@pytest.mark.parametrize("count", [1, 20, 200])
def test_an_outcome_finds_its_row_by_key(full: Link, count: int) -> None:
    batch = columns_of([outcome(uuid4()) for _ in range(count)], token=uuid4(), node=NODE, done=True)
    plain = {"token": uuid4(), "node": NODE, "done": True, "ids": [uuid4() for _ in range(count)]}
    for said in (
        plan(full, "finish", **batch),
        plan(full, "finish_plain", **plain, started=[0.0] * count, finished=[0.0] * count, results=None),
    ):
        assert "using jobs_job_pkey on jobs_job" in said, said
        assert "Seq Scan on jobs_job" not in said


BY_KEY = {
    "give_back": {"ids": [uuid4(), uuid4()], "token": uuid4()},
    "fetch": {"ids": [uuid4()], "token": uuid4()},
    "progress": {"id": uuid4(), "token": uuid4(), "progress": "{}", "started_at": None, "node": NODE},
    "start": {"id": uuid4(), "token": uuid4(), "started_at": None, "node": NODE},
    "dispatch": {"ids": [uuid4()], "tokens": [uuid4()], "places": None, "queue": "q", "routing_key": "q"},
    "win": {"token": uuid4(), "worker": uuid4(), "node": NODE, "receipt": uuid4()},
    "lose": {
        "worker": None,
        "token": uuid4(),
        "won": True,
        "begun": None,
        "strike": True,
        "reason": "",
        "poison_after": 3,
        "poison_error": "",
    },
    "cancel": {"ids": [uuid4()], "sources": ["pending"], "actor": "", "reason": "", "ip": None},
    "postpone": {
        **{"ids": [uuid4()], "sources": ["pending"], "run_at": "2026-01-01T00:00Z"},
        **{"actor": "", "reason": "", "ip": None},
    },
    "request_cancel": {"ids": [uuid4()], "actor": "", "reason": "", "ip": None},
    "release": {"chords": [uuid4()], "placeholder": "", "spoilt": "", "aging_us": 1},
    "spoil": {"chords": [uuid4()], "spoilt": "", "aging_us": 1},
    "judge": {"above": uuid4(), "limit": 100},
    "committed": {"ids": [uuid4()]},
    "ended_chains": {"ids": [uuid4()]},
    "cancel_requested": {"ids": [uuid4()]},
    "unwon_of": {"ids": [uuid4()]},
    "requeue": {
        **{"ids": [uuid4()], "delays": [0.0], "sources": ["failed"], "args": None, "kwargs": None, "kept": 9},
        **{"aging_us": 1, "actor": "", "reason": "", "ip": None},
    },
    "set_priority": {
        **{"ids": [uuid4()], "sources": ["pending"], "priority": None, "points": 5, "aging_us": 1},
        **{"action": "", "actor": "", "reason": "", "ip": None},
    },
    "reclassify": {
        **{"ids": [uuid4()], "sources": ["failed"], "target": "dead_letter", "action": "escalate"},
        **{"actor": "", "reason": "", "ip": None},
    },
    "release_stale": {"ids": [uuid4(), uuid4()], "sources": ["failed"]},
    "joined": {"ids": [uuid4()], "tasks": ["t"], "keys": ["k"]},
    "keep_key": {"id": uuid4(), "unique_key": "k"},
    "purge": {"ids": [uuid4(), uuid4()], "sources": ["completed"]},
    "rerank": {"queue": "q0", "aging_us": 1, "rank": 0, "id": uuid4(), "limit": 100},
    "old_jobs": {"finished_at": datetime(1970, 1, 1, tzinfo=UTC), "id": uuid4(), "days": 7, "limit": 100},
    "old_dead_letters": {"queue": "q0", "days": 30, "limit": 100},
    "surplus_dead_letters": {"queue": "q0", "cap": 1000, "limit": 100},
    "dead_letter_queues": {},
    "release_keys": {"limit": 100},
    "old_chords": {"id": uuid4(), "limit": 100},
    "held": {"id": uuid4(), "token": uuid4()},
}


@pytest.mark.parametrize("name", BY_KEY)
def test_statements_about_known_jobs_read_no_others(full: Link, name: str) -> None:
    assert "Seq Scan on jobs_job" not in plan(full, name, **BY_KEY[name])


def test_a_look_for_lost_leases_reads_its_stretch_of_the_table_only(full: Link) -> None:
    said = plan(full, "adopt", first="(0,0)", last="(128,0)")
    assert "Tid Range Scan on jobs_job job" in said, said
    assert "Scan using jobs_lease_pkey" in said, said


def test_ranks_are_walked_in_the_order_of_the_ready_index(full: Link) -> None:
    said = plan(full, "rerank", **BY_KEY["rerank"])
    assert "Index Scan using jobs_ready" in said or "Index Only Scan using jobs_ready" in said, said


def test_dead_letters_beyond_the_cap_are_found_without_sorting_them(full: Link) -> None:
    said = plan(full, "surplus_dead_letters", queue="q0", cap=10, limit=20)
    assert "using jobs_dead_letters" in said, said
    assert "Sort" not in said


@pytest.fixture
def burst(full: Link) -> Iterator[Link]:
    """A burst of jobs since the statistics were made, which therefore say that there are none that live."""
    conn = full._open()
    with full.transaction():
        conn.execute("DELETE FROM jobs_job WHERE finished_at IS NULL")
        conn.execute("ANALYZE jobs_job")
        conn.execute(
            """
            INSERT INTO jobs_job (id, task, queue, state, priority, rank, ready_at, args, kwargs, created_at,
                                  updated_at, run_at, pause, after)
            SELECT gen_random_uuid(), 't', 'q0', (ARRAY['pending', 'scheduled', 'paused', 'blocked'])[1 + n % 4], 10, n,
                   now(), '[]', '{}', now(), now(), CASE WHEN n % 4 = 1 THEN now() END, CASE WHEN n % 4 = 2 THEN 1 END,
                   CASE WHEN n % 4 = 3 THEN gen_random_uuid() END
              FROM generate_series(1, 4000) AS n
            """
        )
        yield full
        raise psycopg.Rollback


IN_A_BURST = {
    **{name: BY_KEY[name] for name in ("dispatch", "rerank", "release", "spoil")},
    "promote": {"limit": 1000, "aging_us": 1},
    "expire": {"limit": 1000},
    "hold": {"queue": "q0", "limit": 1000},
    "resume": {"limit": 1000},
    "release_after": {"ids": [uuid4()], "aging_us": 1},
}


@pytest.mark.parametrize("name", IN_A_BURST)
def test_old_statistics_make_no_statement_walk_all_jobs_of_a_state_for_each_job(burst: Link, name: str) -> None:
    """What changes rows finds each by its key, though the planner takes the partial indexes for empty."""
    said = plan(burst, name, **IN_A_BURST[name])
    assert re.search(r"using jobs_job_pkey on jobs_job job\b", said), said


@pytest.mark.parametrize("name", NAMES)
def test_every_statement_fits_the_schema(full: Link, name: str) -> None:
    """PREPARE checks names and types without running anything; these can't be prepared, and are run elsewhere."""
    if name in ("listen", "copy", "insert_procedure", "call_insert"):
        return
    conn = full._open()
    prepare(conn, name)
    conn.execute("DEALLOCATE prepared")


OF_TYPE = {
    "begun": "int",
    "poison_error": "text",
    "reason": "text",
    "node": "text",
    "won": "bool",
    "done": "bool",
}


@pytest.mark.django_db
@pytest.mark.parametrize("table", ["jobs_job", "jobs_attempt", "jobs_lease"])
def test_busy_tables_are_vacuumed_whatever_the_length_of_their_history(table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT reloptions::text FROM pg_class WHERE oid = %s::regclass", [table])
        assert "scale_factor=0" in cursor.fetchone()[0]


@pytest.mark.django_db(transaction=True)
def test_every_migration_reverses_and_applies_again() -> None:
    call_command("migrate", "jobs", "zero", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM information_schema.tables WHERE table_name LIKE 'jobs\\_%'")
        assert cursor.fetchone() == (0,)
    call_command("migrate", "jobs", verbosity=0)
    assert not Job.objects.exists()


def test_the_models_have_no_change_without_a_migration() -> None:
    call_command("makemigrations", "jobs", check=True, dry_run=True, verbosity=0)
