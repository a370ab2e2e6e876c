"""Waking an idle dispatcher. A lost wake-up costs one poll interval, so no error here reaches the caller."""

import logging
import time

from django.db import Error, connections, transaction

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
    if jobs_settings().notify and (connection.in_atomic_block or connection.get_autocommit()):
        transaction.on_commit(lambda: _wake(alias), using=alias, robust=True)


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
