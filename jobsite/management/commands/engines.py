from typing import Any

from django.core.management.base import BaseCommand

from jobsite.up import engines, until_stopped


class Command(BaseCommand):
    help = "Run only the embedded PostgreSQL and Valkey, until Ctrl-C; start the other processes by hand."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        with until_stopped():
            engines()
