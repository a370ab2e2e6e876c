"""How long a search may keep the database, and how the planner is to go about it."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.db import OperationalError, connections, transaction

from ..engine.link import cause_of, jobs_alias
from ..errors import SearchTooSlow

# The lists' statements are written along their indexes, and old statistics must not lead away from these.
ALONG_INDEXES = {"enable_seqscan": "off", "jit": "off"}
IN_ORDER = {**ALONG_INDEXES, "enable_bitmapscan": "off", "enable_sort": "off"}
FREELY = {"jit": "off"}


@contextmanager
def patience(seconds: float, planner: dict[str, str]) -> Iterator[None]:
    """A block whose statements may take so long each, and all see the same moment, unless in somebody's transaction.

    Raises SearchTooSlow; what was read before it is kept.
    """
    alias = jobs_alias()
    nested = connections[alias].in_atomic_block
    given = {"statement_timeout": str(max(1, int(seconds * 1000))), **planner}
    try:
        with transaction.atomic(using=alias):
            if not nested:
                # Else a job that goes from one state to another meanwhile is where nobody looks any more.
                _execute(alias, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            before = _set(alias, given)
            yield
            if nested:
                _set(alias, before)
    except OperationalError as error:
        if isinstance(cause_of(error), psycopg.errors.QueryCanceled):
            raise SearchTooSlow from error
        raise


def _execute(alias: str, sql: str) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)


def _set(alias: str, values: dict[str, str]) -> dict[str, str]:
    """Set what holds until the transaction ends; returns what held before."""
    with connections[alias].cursor() as cursor:
        said = ", ".join(["current_setting(%s), set_config(%s, %s, true)"] * len(values))
        cursor.execute(f"SELECT {said}", [part for name, value in values.items() for part in (name, name, value)])
        return dict(zip(values, cursor.fetchone()[::2], strict=True))
