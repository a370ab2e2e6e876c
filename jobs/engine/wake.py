"""Waking an idle dispatcher. A lost wake-up costs one poll interval, so no error here reaches the caller."""

import logging
import time
from collections.abc import Callable
from functools import cache, partial

from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from ..conf import jobs_settings
from .failpoints import failpoint
from .sql import statement

logger = logging.getLogger("jobs")

# A woken dispatcher looks again and again for longer than this, so that calls in between need no wake-up of their own.
QUIET = 0.02
_last = 0.0


def wake_after_commit(alias: str) -> None:
    """Wake the dispatcher once the caller's transaction commits; at most once per process and QUIET seconds."""
    connection = connections[alias]
    # With autocommit off by hand, Django knows of no commit to wait for: the dispatcher polls.
    if not jobs_settings().notify or not (connection.in_atomic_block or connection.get_autocommit()):
        return
    wake = _waker(alias)
    if not _is_next(connection, wake):
        connection.on_commit(wake, robust=True)


@cache
def _waker(alias: str) -> Callable[[], None]:
    return partial(_wake, alias)


def _is_next(connection: BaseDatabaseWrapper, wake: Callable[[], None]) -> bool:
    """Whether the last thing to do after the commit is that already, in this very savepoint."""
    waiting = connection.run_on_commit
    return bool(waiting) and waiting[-1][1] is wake and waiting[-1][0] == set(connection.savepoint_ids)


def _wake(alias: str) -> None:
    global _last
    failpoint("KE2")
    now = time.monotonic()
    if now - _last < QUIET:
        return
    _last = now
    try:
        with connections[alias].cursor() as cursor:
            cursor.execute(statement("wake"))
    except Error:
        logger.warning("the dispatcher could not be woken: it will poll", exc_info=True)
