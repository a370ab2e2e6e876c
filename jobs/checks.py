"""System checks: settings and database that the platform can't run on are named before anything starts."""

from typing import Any

from celery import current_app
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router

from .conf import jobs_settings
from .tasks.blocking.conf import blocking_settings
from .tasks.tempfiles.conf import tempfiles_settings

HINT = (
    "Remove it. In tests, use run_jobs() and assert_enqueued() of jobs.testing; "
    "task.apply() runs one task at once, without a job."
)


@register()
def settings_are_sound(**_: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for read in (jobs_settings, blocking_settings, tempfiles_settings):
        try:
            read()
        except ImproperlyConfigured as problems:
            found += [Error(problem, id="jobs.E001") for problem in str(problems).splitlines()]
    return found


@register()
def tasks_are_not_eager(**_: Any) -> list[CheckMessage]:
    if not current_app.conf.task_always_eager:
        return []
    return [Error("CELERY_TASK_ALWAYS_EAGER is on: no call would become a job.", hint=HINT, id="jobs.E003")]


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
