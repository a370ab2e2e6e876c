"""A statement on Django's connection, past Django's cursors, where nobody would see it pass through them."""

from operator import attrgetter, is_
from pathlib import Path
from types import FunctionType

import django
import psycopg
from django.db.backends import utils
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.postgresql.base import Cursor, DatabaseWrapper, ServerBindingCursor
from psycopg import errors, generators
from psycopg.pq import ExecStatus, PipelineStatus, TransactionStatus

_DJANGOS = (Cursor, ServerBindingCursor)
_MAKING = ("cursor", "_cursor", "create_cursor", "_prepare_cursor", "make_cursor")
_made_by = attrgetter(*_MAKING)
_HOME = f"{Path(django.__file__).parent}/"
_OWN = tuple(
    # Some tracers are there before this module is.
    function if isinstance(function, FunctionType) and function.__code__.co_filename.startswith(_HOME) else None
    for function in (*_made_by(DatabaseWrapper), utils.CursorWrapper.execute)
)


def is_unwatched(connection: BaseDatabaseWrapper) -> bool:
    """Whether Django's cursor would add nothing: the connection is open, and its transaction, if there is one, usable.

    No log of queries, wrapper or instrumentation waits for statements.
    """
    driver = connection.connection
    if type(driver) is not psycopg.Connection or _cursor_of(driver) not in _DJANGOS:
        return False
    if connection.queries_logged or connection.execute_wrappers or not _are_cursors_djangos(connection):
        return False
    if driver.pgconn.pipeline_status != PipelineStatus.OFF:
        return False
    if connection.needs_rollback or (connection.health_check_enabled and not connection.health_check_done):
        return False
    return driver.pgconn.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.IDLE)


def _cursor_of(driver: psycopg.Connection) -> type:
    """Its class of cursors; a worker's own, which notes what leaves a session changed, stands for the one below it."""
    kind: type = driver.cursor_factory
    return kind.__bases__[0] if getattr(kind, "is_noting", False) else kind


def _are_cursors_djangos(connection: BaseDatabaseWrapper) -> bool:
    """Whether a cursor is made and used by functions of Django's.

    Who traces queries, or has to do something before them such as to choose the tenant's schema, puts in his own: of
    the connection, of its class, or in the place of Django's.
    """
    if not vars(connection).keys().isdisjoint(_MAKING):
        return False
    return all(map(is_, (*_made_by(type(connection)), utils.CursorWrapper.execute), _OWN))


def run(connection: BaseDatabaseWrapper, query: str) -> None:
    """Run one statement, of ASCII and without parameters, on an unwatched connection. Errors are Django's."""
    connection.ensure_connection()  # it is there, but tests that may use no database are stopped here
    connection.validate_thread_sharing()
    driver = connection.connection
    with connection.wrap_database_errors:
        if driver.pgconn.transaction_status == TransactionStatus.IDLE and not driver.autocommit:
            driver.execute(query)  # begins the transaction
        else:
            _send(driver, query.encode("ascii"))


def _send(driver: psycopg.Connection, query: bytes) -> None:
    """What the driver's cursor does, without what it keeps for the result of a question."""
    with driver.lock:
        driver.pgconn.send_query(query)
        (result,) = driver.wait(generators.execute(driver.pgconn))
    if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
        raise errors.error_from_result(result, encoding=driver.info.encoding)
