"""A test's own transaction as if it had been committed: what waits for the commit is called."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.test import TestCase
from psycopg.pq import TransactionStatus

logger = logging.getLogger("jobs")


def in_test(connection: Any) -> bool:
    """Whether the open transaction is the one that a TestCase, or pytest's `db`, rolls back at its end."""
    blocks = connection.atomic_blocks
    return bool(blocks) and blocks[-1]._from_testcase


@contextmanager
def as_if_committed() -> Iterator[None]:
    """Call what waits for the test's commit now; inside, each block that would be a transaction ends like one."""
    with ExitStack() as stack:
        for connection in connections.all(initialized_only=True):
            if in_test(connection):
                stack.enter_context(_committing(connection))
        yield


@contextmanager
def _committing(connection: Any) -> Iterator[None]:
    depth = len(connection.atomic_blocks)
    on_commit, savepoint_commit = connection.on_commit, connection.savepoint_commit

    def register(func: Callable[[], object], robust: bool = False) -> None:
        on_commit(func, robust)
        if len(connection.atomic_blocks) == depth:
            _call_waiting(connection)

    def release(sid: str) -> None:
        savepoint_commit(sid)
        if len(connection.atomic_blocks) == depth:
            _call_waiting(connection)

    connection.on_commit, connection.savepoint_commit = register, release
    try:
        _call_waiting(connection)
        yield
    finally:
        del connection.on_commit, connection.savepoint_commit


def _call_waiting(connection: Any) -> None:
    while connection.run_on_commit:
        _, func, robust = connection.run_on_commit.pop(0)
        try:
            func()
        except Exception:
            if not robust:
                raise
            logger.exception("a callback of on_commit() failed")


@contextmanager
def kept_whole() -> Iterator[None]:
    """Whatever the block leaves of transactions is ended as a worker ends it: what was not committed is rolled back.

    A transaction of the test that a failed statement has broken goes back to where the block began.
    """
    before = {connection: len(connection.atomic_blocks) for connection in connections.all(initialized_only=True)}
    points = {connection: connection.savepoint() for connection in before if in_test(connection)}
    try:
        yield
    finally:
        for connection in connections.all(initialized_only=True):
            _end_open_blocks(connection, before.get(connection, 0))
        for connection, point in points.items():
            _mend(connection, point)


def _end_open_blocks(connection: Any, depth: int) -> None:
    while len(connection.atomic_blocks) > depth:
        connection.atomic_blocks[-1].__exit__(RuntimeError, None, None)
    if connection.connection is not None and not connection.in_atomic_block and not connection.get_autocommit():
        connection.rollback()
        connection.set_autocommit(True)


def _mend(connection: Any, point: str) -> None:
    if connection.connection is None or connection.connection.closed:
        return  # Django says so at the next query
    if connection.needs_rollback or connection.connection.info.transaction_status == TransactionStatus.INERROR:
        connection.needs_rollback = False
        connection.savepoint_rollback(point)
    connection.savepoint_commit(point)


_capture = TestCase.captureOnCommitCallbacks.__func__


@contextmanager
def _capture_once(cls: type[TestCase], *, using: str = DEFAULT_DB_ALIAS, execute: bool = False) -> Iterator[list]:
    start = len(connections[using].run_on_commit)
    with _capture(cls, using=using, execute=execute) as callbacks:
        yield callbacks
    if execute:
        del connections[using].run_on_commit[start:]


# Django leaves the callbacks that it has executed in the list: `run_jobs` would call them again.
TestCase.captureOnCommitCallbacks = classmethod(_capture_once)
