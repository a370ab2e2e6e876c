from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class SchedulesConfig(AppConfig):
    name = "schedules"
    default_auto_field = "django.db.models.BigAutoField"
    jobs_verbs = "schedules.management.command.add"

    def ready(self) -> None:
        from .checking import connect  # models are ready only now

        connect()
        post_migrate.connect(_synchronise, sender=self, dispatch_uid="schedules.code")


def _synchronise(*, using: str, plan: Any = (), **_: Any) -> None:
    """What code declares is there after a migrate; a beat that starts does it too."""
    from celery import current_app
    from django.db import connections

    from jobs.engine.link import jobs_alias

    from .code import synchronise
    from .models import Schedule

    if using != jobs_alias() or connections[using].vendor != "postgresql":
        return
    # Of a migrate that went back to before they were made, or of some apps only.
    if Schedule._meta.db_table in connections[using].introspection.table_names():
        synchronise(current_app._get_current_object())
