"""Before the migrations have run, and while the database is away: one line says what to do; processes wait."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from tests.support.fleet import ROOT, Fleet, Valkey, database_url, free_port
from tests.support.wait import wait_until

MIGRATE = "The jobs' tables are missing or older than this code"


@pytest.fixture
def new(transactional_db: None, tmp_path: Path, broker: Valkey) -> Iterator[Fleet]:
    """Processes on a database without any table."""
    given = urlsplit(database_url())
    name = f"{given.path[1:]}_new"
    with psycopg.connect(database_url(), autocommit=True) as server:
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        processes = Fleet(tmp_path, broker.url)
        processes.environment["DATABASE_URL"] = urlunsplit(given._replace(path=f"/{name}"))
        yield processes
        processes.stop()
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def manage(fleet: Fleet, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=fleet.environment, capture_output=True, text=True, timeout=120)


def log(fleet: Fleet, name: str) -> str:
    return Path(fleet.log(name)).read_text()


def test_processes_that_are_started_before_the_migrations_wait_for_them(new: Fleet) -> None:
    ended = manage(new, "jobs", "run", "tests.support.tasks.add", "--args", "[1, 2]")
    assert (ended.returncode, ended.stdout) == (6, "")
    assert ended.stderr.startswith(MIGRATE)
    assert ended.stderr.endswith("does not exist): run `python3 manage.py migrate`.\n")
    assert ended.stderr.count("\n") == 1
    started = {
        "dispatcher": new.start("dispatcher", "manage.py", "dispatch"),
        "worker": new.start("worker", "-m", "celery", "-A", "jobsite", "worker", "-c", "1", "-l", "INFO"),
    }
    for name, process in started.items():
        wait_until(lambda name=name, process=process: MIGRATE in log(new, name) or new.gone(process), what="its line")
        assert "Traceback" not in log(new, name)
    migrated = manage(new, "migrate", "-v", "0")
    assert migrated.returncode == 0, migrated.stderr
    ended = manage(new, "jobs", "run", "tests.support.tasks.add", "--args", "[1, 2]", "--timeout", "60")
    assert (ended.returncode, ended.stdout) == (0, "3\n"), ended.stderr
    assert not any(new.gone(process) for process in started.values())


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "tests.support.tasks.noop"),
        ("show", str(uuid4())),
        ("cancel", "--all"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_verb_without_its_database_is_one_line(arguments: tuple[str, ...], tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, "redis://127.0.0.1:1/0")
    fleet.environment["DATABASE_URL"] = f"postgresql://someone:hunter2@127.0.0.1:{free_port()}/nowhere"
    ended = manage(fleet, "jobs", *arguments)
    assert (ended.returncode, ended.stdout) == (6, "")
    assert ended.stderr.startswith("Cannot reach the database: ")
    assert ended.stderr.endswith("Start it, or correct DATABASE_URL.\n")
    assert ended.stderr.count("\n") == 1
    assert "hunter2" not in ended.stderr
