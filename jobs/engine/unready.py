"""Errors that say nothing of a job: the database is away, or was not migrated yet."""

import psycopg
from psycopg import errors

AWAY = ("08", "57P")
"""How the SQLSTATE of a connection begins that was lost, or refused by a server that starts or stops."""


def unready(error: BaseException) -> str | None:
    """What is missing and what to do, in one line; None for an error of another kind, of the driver or of Django."""
    cause = error if isinstance(error, psycopg.Error) else error.__cause__
    if isinstance(cause, errors.UndefinedTable | errors.UndefinedColumn):
        return (
            f"The jobs' tables are missing or older than this code ({_first_line(cause)}): "
            "run `python3 manage.py migrate`."
        )
    if isinstance(cause, psycopg.OperationalError) and (cause.sqlstate is None or cause.sqlstate.startswith(AWAY)):
        said = " ".join(str(cause).split())
        return f"Cannot reach the database: {said}. Start it, or correct DATABASE_URL."
    return None


def _first_line(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error).partition("\n")[0]
