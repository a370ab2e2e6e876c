"""`manage.py bench`, tiny: what it says, and that nothing of it stays."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import redis

from jobs.models import Job
from jobsite.bench.scratch import LOCK
from tests.support.fleet import ROOT, Valkey, database_url
from tests.support.tasks import add
from tests.support.wait import wait_until


@pytest.fixture
def environment(transactional_db: None, broker: Valkey) -> dict[str, str]:
    """The installation is the test's database and a broker of this test."""
    return {**os.environ, "DATABASE_URL": database_url(), "BROKER_URL": broker.url}


@pytest.fixture
def server(environment: dict[str, str]) -> Iterator[psycopg.Connection]:
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
        yield connection


def command(*arguments: str) -> list[str]:
    return [sys.executable, "manage.py", "bench", *arguments]


def bench(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command(*arguments), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)


def own_database(environment: dict[str, str]) -> str:
    return urlsplit(environment["DATABASE_URL"]).path[1:] + "_bench"


def is_there(server: psycopg.Connection, name: str) -> bool:
    return bool(server.execute("SELECT FROM pg_database WHERE datname = %s", [name]).rowcount)


def assert_nothing_stayed(server: psycopg.Connection, environment: dict[str, str]) -> None:
    assert not is_there(server, own_database(environment))
    for left in (
        "SELECT count(*) FROM jobs_queue WHERE name LIKE '%bench%'",
        "SELECT count(*) FROM jobs_worker",
        "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE current_database() || '%' "
        "AND application_name LIKE 'jobs bench%'",
    ):
        assert server.execute(left).fetchone() == (0,), left


def keys(broker: Valkey) -> list[str]:
    # What every Celery worker leaves in a broker over Redis is not the bench's.
    there = redis.Redis(unix_socket_path=urlsplit(broker.url).path).keys()
    return [key.decode() for key in there if not key.endswith(b"_kombu.binding_deadlines")]


def test_a_tiny_bench_measures_says_how_and_leaves_nothing(
    environment: dict[str, str], server: psycopg.Connection, broker: Valkey
) -> None:
    done = bench(
        environment, "--jobs", "200", "--runs", "2", "--only", "enqueue,noop,failing,latency,delayed", "--json"
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    measures = {measure["name"]: measure for measure in said["measures"]}
    assert list(measures) == ["enqueue", "noop", "failing", "latency", "delayed"]
    for measure in measures.values():
        assert len(measure["runs"]) == 2
        assert measure["refused"] == []
    assert measures["enqueue"]["median"]["per_second"] > 1
    for name, jobs in (("noop", 200), ("failing", 60)):
        assert [run["attempts"] for run in measures[name]["runs"]] == [jobs, jobs]
        assert measures[name]["median"]["per_second"] > 1
        assert {"dispatcher", "worker", "child"} <= measures[name]["runs"][0]["cpu_seconds"].keys()
    assert 0 < measures["latency"]["median"]["p50_ms"] <= measures["latency"]["median"]["p99_ms"]
    assert [run["early"] for run in measures["delayed"]["runs"]] == [0, 0]
    assert {process["role"] for process in said["memory"]} >= {"dispatcher", "worker", "child"}
    assert all(process["pss_kib"] > 0 for process in said["memory"])
    assert said["versions"]["celery"]
    assert said["database"]["synchronous_commit"]
    assert said["jobs_settings"]["carrier_max"] > 0
    assert said["statement_times"]
    assert Job.objects.count() == 0
    assert_nothing_stayed(server, environment)
    assert keys(broker) == []


def test_rivals_run_without_jobsite_and_are_compared(environment: dict[str, str], server: psycopg.Connection) -> None:
    done = bench(environment, "--jobs", "100", "--runs", "1", "--only", "noop,celery,celery-results")
    assert done.returncode == 0, done.stderr
    for said in ("Rivals", "celery-results", "Times as much as the rival", "Memory, MiB"):
        assert said in done.stdout
    assert "refused" not in done.stdout
    assert_nothing_stayed(server, environment)


@pytest.fixture
def long_bench(environment: dict[str, str], tmp_path: Path) -> "Iterator[subprocess.Popen[bytes]]":
    with open(tmp_path / "bench.log", "wb") as log:
        process = subprocess.Popen(
            command("--jobs", "100000", "--only", "noop"),
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    yield process
    process.terminate()
    process.wait()


def test_a_bench_that_is_stopped_leaves_nothing(
    long_bench: "subprocess.Popen[bytes]", environment: dict[str, str], server: psycopg.Connection, broker: Valkey
) -> None:
    own = urlunsplit(urlsplit(environment["DATABASE_URL"])._replace(path=f"/{own_database(environment)}"))

    def has_run() -> bool:
        try:
            with psycopg.connect(own) as inside:
                return bool(inside.execute("SELECT FROM jobs_attempt LIMIT 1").rowcount)
        except psycopg.Error:
            return False

    wait_until(has_run, what="a job that has run", within=60)
    os.killpg(long_bench.pid, signal.SIGINT)
    assert long_bench.wait(60) == 130
    assert_nothing_stayed(server, environment)
    assert keys(broker) == []


def test_it_does_not_begin_while_the_installation_has_work(
    environment: dict[str, str], server: psycopg.Connection
) -> None:
    add.delay(1, 2)
    done = bench(environment, "--jobs", "10", "--only", "noop")
    assert done.returncode == 2
    assert done.stderr.startswith("1 jobs of this installation wait or run")
    assert "--force" in done.stderr
    assert Job.objects.get().state == "pending"
    assert_nothing_stayed(server, environment)


def test_a_second_bench_beside_the_first_is_refused(environment: dict[str, str], server: psycopg.Connection) -> None:
    server.execute("SELECT pg_advisory_lock(%s)", [LOCK])
    done = bench(environment, "--only", "noop")
    assert done.returncode == 2
    assert "Another bench runs on this installation" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "nop"], "Did you mean 'noop'?"),
        (["--jobs", "0"], "--jobs is 0; expected 1 or more."),
        (["--broker", "redis://127.0.0.1:1/0"], "Cannot reach the broker"),
    ],
)
def test_what_can_not_begin_says_why(environment: dict[str, str], arguments: list[str], said: str) -> None:
    done = bench(environment, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
