"""What of the engine lives in the database: made after a migrate, and made anew when a release has changed it."""

from typing import Any

from django.db import connections, router

from ..models import Job
from .sql import statement


def make_procedures(*, using: str, **_: Any) -> None:
    """Receiver of `post_migrate`, which is sent too where tests make their tables without migrations."""
    if not router.allow_migrate_model(using, Job) or connections[using].vendor != "postgresql":
        return
    text = statement("insert_procedure")
    with connections[using].cursor() as cursor:
        cursor.execute(statement("procedure_source"), {"name": "jobs_insert"})
        # Only its owner may replace it, and anybody may migrate when there is nothing to do.
        if cursor.fetchall() != [(text.split("$$")[1],)]:
            cursor.execute(text)
