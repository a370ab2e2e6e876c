from django.apps import AppConfig
from django.db.models.signals import post_migrate


class JobsConfig(AppConfig):
    name = "jobs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks  # noqa: F401  registers the system checks
        from .engine.procedures import make_procedures  # models are ready only now

        post_migrate.connect(make_procedures, sender=self, dispatch_uid="jobs.procedures")
