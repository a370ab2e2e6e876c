"""Between two jobs of one process: what a task left behind is put back, so that the next finds what it expects.

Not put back, and documented so: environment variables, modules, threads, limits of the system.
"""

import locale
import os
import re
import signal
import socket
import threading
import time

# The public ones make an enum of every answer, which costs more than all the rest here.
from _signal import getsignal, pthread_sigmask  # type: ignore[import-not-found]
from contextlib import suppress
from functools import lru_cache
from typing import Any

from django.db import connections
from django.db.backends.signals import connection_created
from psycopg.pq import TransactionStatus

SIGNALS = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGTERM,
    signal.SIGCHLD,
)


AGE = 600.0
"""Seconds for which a connection is kept from job to job where CONN_MAX_AGE is Django's default of 0."""


class Surroundings:
    """What belongs to the whole process, as it is when this is made; a thread that is not the main one leaves it be."""

    def __init__(self) -> None:
        self._mine = threading.current_thread() is threading.main_thread()
        self._folder = _folder()
        self._umask = os.umask(0o022)
        os.umask(self._umask)
        self._locale = locale.setlocale(locale.LC_ALL)
        self._timeout = socket.getdefaulttimeout()
        self._handlers = list(map(getsignal, SIGNALS))
        self._blocked = pthread_sigmask(signal.SIG_BLOCK, ())

    def restore(self) -> None:
        if not self._mine:
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        if list(map(getsignal, SIGNALS)) != self._handlers:
            self._restore_handlers()
        pthread_sigmask(signal.SIG_SETMASK, self._blocked)
        os.umask(self._umask)
        if self._folder is not None and _folder() != self._folder:
            with suppress(OSError):
                os.chdir(self._folder)
        if locale.setlocale(locale.LC_ALL) != self._locale:
            locale.setlocale(locale.LC_ALL, self._locale)
        if socket.getdefaulttimeout() != self._timeout:
            socket.setdefaulttimeout(self._timeout)

    def _restore_handlers(self) -> None:
        for number, handler in zip(SIGNALS, self._handlers, strict=True):
            if handler is not None and getsignal(number) is not handler:
                signal.signal(number, handler)


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None  # it was removed


# What outlives its transaction: a session's variables and role, locks, temporary tables, cursors, listening.
_LEAVES_STATE = re.compile(
    r"(?: ^ | ; | \*/ | --[^\n]*\n ) \s* (?: (?:SET|RESET) \s+ (?! LOCAL\b | TRANSACTION\b | CONSTRAINTS\b )"
    r"                      | (?:LISTEN|UNLISTEN|PREPARE|EXECUTE|DEALLOCATE|DECLARE|DISCARD|LOAD|DO|CALL) \b )"
    r" | \b (?: set_config \s* \( (?! [^()]* , \s* true \s* \) )"
    r"        | pg_(?:try_)?advisory_lock | pg_temp | dblink_connect"
    r"        | (?:CREATE|INTO) \s+ (?:LOCAL\s+ | GLOBAL\s+)? TEMP )",
    re.IGNORECASE | re.VERBOSE,
)
_REMEMBERED = 2_000
"""Longest statement whose answer is worth remembering, characters: Django writes the same ones again and again."""


def leaves_state(statement: str) -> bool:
    """Whether a session is another one after this statement."""
    return _remembered(statement) if len(statement) <= _REMEMBERED else _LEAVES_STATE.search(statement) is not None


@lru_cache(maxsize=1024)
def _remembered(statement: str) -> bool:
    return _LEAVES_STATE.search(statement) is not None


class _Here(threading.local):
    def __init__(self) -> None:
        self.opened: list[Any] = []


_here = _Here()
"""Django's connections of this thread, as of its latest connect: to ask for them takes as long as all the rest here."""


def watch_connections() -> None:
    """From now on, note which of Django's connections to PostgreSQL a task changes for good. Called once a thread."""
    connection_created.connect(_watch, dispatch_uid="jobs.tidy")
    for connection in connections.all(initialized_only=True):
        if connection.connection is not None:
            _watch(connection)


def _watch(connection: Any, **_: Any) -> None:
    # Those that Django hands out by name, as they are now: a copy that a task has made for itself is the task's.
    _here.opened = connections.all(initialized_only=True)
    if connection.settings_dict["CONN_MAX_AGE"] == 0:
        connection.close_at = time.monotonic() + AGE  # Django would close it after every job
    if connection.vendor == "postgresql":
        connection.connection.cursor_factory = _noting(connection.connection.cursor_factory)


@lru_cache(maxsize=8)
def _noting(factory: type) -> type:
    """The driver's cursor class, noting on its connection what leaves state behind; also of raw use of the driver."""

    class NotingCursor(factory):
        is_noting = True

        def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
            text = query if isinstance(query, str) else _text(query, self)
            if leaves_state(text):
                self.connection.has_left_state = True
            return super().execute(query, *args, **kwargs)

    return factory if getattr(factory, "is_noting", False) else NotingCursor


def _text(query: Any, cursor: Any) -> str:
    return bytes(query).decode("utf-8", "replace") if isinstance(query, bytes) else query.as_string(cursor)


def tidy_connections() -> None:
    """Keep Django's connections from job to job, but never one that the last job left changed, in use or broken."""
    for connection in _here.opened:
        if connection.connection is None:
            continue
        if connection.in_atomic_block or not connection.get_autocommit() or _is_changed(connection):
            # In an open block Django would keep the closed connection, and refuse the next job a new one.
            connection.in_atomic_block = connection.closed_in_transaction = False
            connection.connection.close()  # for real: a pool would hand it out again
            connection.close()
        else:
            connection.close_if_unusable_or_obsolete()


def _is_changed(connection: Any) -> bool:
    conn = connection.connection
    return connection.vendor == "postgresql" and (
        getattr(conn, "has_left_state", False)
        or not conn.autocommit
        or conn.pgconn.transaction_status in (TransactionStatus.ACTIVE, TransactionStatus.INTRANS)
    )
