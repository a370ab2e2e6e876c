from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from jobsite.fleet import Options
from jobsite.up import until_stopped, up


class Command(BaseCommand):
    help = "Run the whole site: database, broker, web, dispatcher, worker, beat and Flower, until Ctrl-C."
    # The checks look at the database, which this command starts.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--host", default="127.0.0.1", help="address of the web server (outside: set ALLOWED_HOSTS)"
        )
        parser.add_argument("--port", type=int, default=8000, help="port of the web server")
        parser.add_argument("--flower-port", type=int, default=5555, help="port of Flower, on 127.0.0.1")
        parser.add_argument("--workers", type=int, default=4, help="jobs at once")
        parser.add_argument("--no-flower", action="store_false", dest="flower", help="run without Flower")

    def handle(self, *args: Any, **options: Any) -> None:
        with until_stopped():
            up(Options(**{name: options[name] for name in ("host", "port", "flower_port", "workers", "flower")}))
