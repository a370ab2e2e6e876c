"""System checks: settings and database that the platform can't run on are named before anything starts."""

from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router

from .conf import jobs_settings


@register()
def settings_are_sound(**_: Any) -> list[CheckMessage]:
    try:
        jobs_settings()
    except ImproperlyConfigured as problems:
        return [Error(problem, id="jobs.E001") for problem in str(problems).splitlines()]
    return []


@register()
def database_is_postgresql(**_: Any) -> list[CheckMessage]:
    from .models import Job

    connection = connections[router.db_for_write(Job)]
    if connection.vendor == "postgresql":
        return []
    return [
        Error(
            f"Jobs live in the database alias {connection.alias!r}, which is {connection.vendor}.",
            hint="Set DATABASE_URL (or DATABASES) to PostgreSQL 15 or newer.",
            id="jobs.E002",
        )
    ]
