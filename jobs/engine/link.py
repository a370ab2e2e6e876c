"""The platform's own connection to the jobs' database: raw psycopg, in autocommit, apart from user code's."""

import logging
import math
import os
import random
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import psycopg
from django.conf import settings
from django.db import DatabaseError, connections, router, transaction
from psycopg import sql

from ..models import Job
from .sql import statement

logger = logging.getLogger("jobs")

# Django's own additions to what the driver takes.
_NOT_FOR_THE_DRIVER = frozenset(
    {"cursor_factory", "context", "prepare_threshold", "pool", "server_side_binding", "isolation_level"}
)


def jobs_alias() -> str:
    """The database alias that holds the jobs."""
    return router.db_for_write(Job) or "default"


def dsn() -> dict[str, Any]:
    """Connection parameters: DATABASE_DIRECT_URL where a pooler stands in between, else the alias's own."""
    direct = getattr(settings, "DATABASE_DIRECT_URL", None)
    if direct:
        return {"conninfo": direct}
    given = connections[jobs_alias()].get_connection_params()
    return {key: value for key, value in given.items() if key not in _NOT_FOR_THE_DRIVER}


class Rows(Protocol):
    """Where named statements run: the platform's own connection, or the caller's."""

    def rows(self, name: str, /, **params: Any) -> list[tuple]: ...

    def transaction(self) -> AbstractContextManager[Any]: ...

    def copy(self, name: str, /) -> AbstractContextManager[Any]: ...


class CallersLink:
    """Django's connection, with whatever transaction its user has open. Errors are Django's."""

    def __init__(self, alias: str) -> None:
        self._alias = alias

    def rows(self, name: str, /, **params: Any) -> list[tuple]:
        connection = connections[self._alias]
        with connection.cursor() as cursor:
            cursor.execute(statement(name), params or None)
            if connection.connection.pgconn.pipeline_status:
                with connection.connection.pipeline():
                    pass  # its end waits for the answer: before, a cursor does not know that it has rows
            return cursor.fetchall() if cursor.description else []

    def transaction(self) -> AbstractContextManager[Any]:
        """A transaction, or a savepoint of the open one."""
        return transaction.atomic(using=self._alias)

    @contextmanager
    def copy(self, name: str, /) -> Iterator[Any]:
        """Run the named COPY; what is yielded has `write(text)`."""
        with connections[self._alias].cursor() as cursor, cursor.copy(statement(name)) as copy:
            yield copy


def as_array(values: Iterable[object]) -> str:
    """An array of values that need no quotes (ids, numbers), as text; the driver takes several times as long."""
    return f"{{{','.join(map(str, values))}}}"


def cause_of(error: BaseException) -> BaseException:
    """The driver's error behind one of Django's."""
    return error.__cause__ if isinstance(error, DatabaseError) and error.__cause__ else error


_PATIENCE = {
    # A server that is gone without a word is noticed within about 25 s, by an idle connection and by a busy one.
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
_SESSION = (
    "SET TIME ZONE 'UTC';"
    # A host that is gone without a word loses its locks, a dispatcher's lead among them, within about 10 s.
    "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 2;"
    # Everything here finds its rows by an index. On a table without statistics, just made or just emptied, the planner
    # would read and hash the whole of it instead, for every batch.
    "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off;"
    # So no plan depends on the values: to plan `finish_plain` for one job anew takes longer than to run it.
    "SET plan_cache_mode = force_generic_plan;"
)

_abandoned: list[Any] = []


class Link:
    """One connection, opened at first use and opened again after it was lost; one thread at a time uses it.

    `lock_timeout` (seconds) bounds every wait for a row. Errors are psycopg's; after an OperationalError the next
    call opens a new connection, and whatever was not committed did not happen.
    """

    def __init__(self, application: str, *, lock_timeout: float = 5.0) -> None:
        self._application = application
        self._lock_timeout = lock_timeout
        self._conn: psycopg.Connection | None = None
        self._pid = 0
        self._inode = 0
        self._lock = threading.RLock()

    def rows(self, name: str, /, **params: Any) -> list[tuple]:
        """Run the named statement in its own transaction, or in the open one; [] when it returns nothing."""
        with self._lock:
            cursor = self._open().execute(statement(name), params or None)
            return cursor.fetchall() if cursor.description else []

    def insist(self, name: str, /, *, patience: float = math.inf, **params: Any) -> list[tuple]:
        """Like `rows`, repeated through a lost connection for up to `patience` seconds."""
        until = time.monotonic() + patience
        pause = 0.05
        while True:
            try:
                return self.rows(name, **params)
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                raise
            except psycopg.OperationalError as error:
                if time.monotonic() >= until:
                    raise
                logger.warning("the database is away, %s waits: %s", name, str(error).strip())
                time.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(5.0, pause * 2)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._lock, self._open().transaction():
            yield

    @contextmanager
    def copy(self, name: str, /) -> Iterator[Any]:
        with self._lock, self._open().cursor() as cursor, cursor.copy(statement(name)) as copy:
            yield copy

    def notified(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for a notification."""
        with self._lock:
            return any(True for _ in self._open().notifies(timeout=timeout, stop_after=1))

    def is_intact(self) -> bool:
        """False when the descriptor of the open connection was closed by someone else, and may be another's by now."""
        conn = self._conn
        if conn is None or conn.closed:
            return True
        try:
            return os.fstat(conn.fileno()).st_ino == self._inode
        except OSError:
            return False

    def abandon(self) -> None:
        """Go on with a new connection; to close the old one would close a descriptor that may be another's."""
        with self._lock:
            _abandoned.append(self._conn)
            self._conn = None

    def close(self) -> None:
        with self._lock:
            if self._conn is not None:
                self._conn.close()
                self._conn = None

    def _open(self) -> psycopg.Connection:
        # A connection from before a fork belongs to the parent: two processes on one socket mix up their answers.
        if self._conn is None or self._conn.closed or self._pid != os.getpid():
            self._conn, self._pid = self._connected(), os.getpid()
            self._inode = os.fstat(self._conn.fileno()).st_ino
        return self._conn

    def _connected(self) -> psycopg.Connection:
        parameters: Mapping[str, Any] = {**_PATIENCE, **dsn()}
        conn = psycopg.connect(**parameters, autocommit=True, application_name=self._application)
        try:
            conn.execute(f"{_SESSION} SET lock_timeout = {int(self._lock_timeout * 1000)}")
            if role := connections[jobs_alias()].settings_dict["OPTIONS"].get("assume_role"):
                conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        except BaseException:
            conn.close()
            raise
        return conn
