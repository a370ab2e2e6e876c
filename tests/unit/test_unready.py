"""Which errors mean that the database can't be used yet, and which mean something else."""

import psycopg
import pytest
from django.db import OperationalError, ProgrammingError
from psycopg import errors

from jobs.engine.unready import unready

AWAY = psycopg.OperationalError("connection failed:\n refused")


def behind(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        errors.UndefinedTable("no table\nLINE 1"),
        errors.UndefinedColumn("no table"),
        behind(ProgrammingError(), errors.UndefinedTable("no table")),
    ],
)
def test_missing_tables_ask_for_the_migrations(error: Exception) -> None:
    expected = "The jobs' tables are missing or older than this code (no table): run `python3 manage.py migrate`."
    assert unready(error) == expected


@pytest.mark.parametrize("error", [AWAY, behind(OperationalError(), AWAY)])
def test_a_database_that_is_away_is_told_in_one_line(error: Exception) -> None:
    expected = "Cannot reach the database: connection failed: refused. Start it, or correct DATABASE_URL."
    assert unready(error) == expected


@pytest.mark.parametrize("lost", [errors.AdminShutdown, errors.CannotConnectNow, errors.ConnectionException])
def test_a_server_that_stops_is_away(lost: type[psycopg.OperationalError]) -> None:
    assert (unready(lost("gone")) or "").startswith("Cannot reach the database: gone.")


@pytest.mark.parametrize(
    "error",
    [
        errors.LockNotAvailable("locked"),
        errors.QueryCanceled("too slow"),
        errors.SyntaxError("x"),
        behind(OperationalError(), errors.DeadlockDetected("x")),
        OperationalError("without a cause"),
        ValueError(),
    ],
)
def test_another_error_keeps_its_traceback(error: Exception) -> None:
    assert unready(error) is None
