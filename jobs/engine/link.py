"""The platform's own connection to the jobs' database: raw psycopg, in autocommit, apart from user code's."""

import logging
import math
import os
import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from django.conf import settings
from django.db import connections, router

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

    def notified(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for a notification."""
        with self._lock:
            return any(True for _ in self._open().notifies(timeout=timeout, stop_after=1))

    def close(self) -> None:
        with self._lock:
            if self._conn is not None:
                self._conn.close()
                self._conn = None

    def _open(self) -> psycopg.Connection:
        # A connection from before a fork belongs to the parent: two processes on one socket mix up their answers.
        if self._conn is None or self._conn.closed or self._pid != os.getpid():
            self._pid = os.getpid()
            parameters: Mapping[str, Any] = {"connect_timeout": 10, "keepalives_idle": 30, **dsn()}
            self._conn = psycopg.connect(**parameters, autocommit=True, application_name=self._application)
            self._conn.execute(f"SET TIME ZONE 'UTC'; SET lock_timeout = {int(self._lock_timeout * 1000)}")
        return self._conn
