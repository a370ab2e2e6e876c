import sys
from typing import Any

from django.core.management.base import BaseCommand

from jobsite.testing import run_pytest


class Command(BaseCommand):
    """Replaces Django's own command of this name."""

    help = "Run the tests with pytest on a database and a broker of their own; all arguments go to pytest."
    requires_system_checks: list[str] = []

    def run_from_argv(self, argv: list[str]) -> None:
        # Not parsed here: pytest's arguments are its own.
        sys.exit(run_pytest(argv[2:]))

    def handle(self, *args: Any, **options: Any) -> None:
        sys.exit(run_pytest([]))
