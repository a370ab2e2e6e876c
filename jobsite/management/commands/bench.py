import json
import os
import shutil
import sys
import tempfile
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from rich.console import Console

from jobsite import embedded
from jobsite.bench import Refused, plan, report
from jobsite.bench.proc import usable_cores
from jobsite.bench.scratch import private, scratch
from jobsite.bench.start import measured
from jobsite.up import until_stopped


class Command(BaseCommand):
    help = """Measure this installation: calls, drains, latency, memory, CPU.

It uses this installation's PostgreSQL server, broker and settings, but a database, a queue, a dispatcher and a worker
of its own, so that no job of yours is touched or delayed by more than the load. All of that is removed in the end,
also after Ctrl-C. It refuses to begin while jobs of this installation wait or run (--force measures beside them).

Exit codes: 0 measured; 1 a figure was refused (its table and the JSON say why), or something broke; 2 not begun:
stderr says why and what to do; 130 stopped."""
    requires_system_checks: list[str] = []

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        return super().create_parser(*args, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        names = ", ".join(measure.name for measure in (*plan.MEASURES, *plan.RIVALS))
        parser.add_argument("--jobs", type=int, default=10_000, help="of a no-op drain; the rest in proportion (10000)")
        parser.add_argument("--workers", type=int, default=usable_cores(), help="worker slots (one a core)")
        parser.add_argument("--runs", type=int, default=3, help="repetitions; the tables show their medians (3)")
        parser.add_argument("--only", default="", metavar="NAME,…", help=f"only these: {names}")
        parser.add_argument("--rivals", action="store_true", help="measure stock Celery on the same broker, too")
        parser.add_argument("--broker", help="another broker than the installation's; own queues only are touched")
        parser.add_argument("--private", action="store_true", help="a PostgreSQL and a Valkey of its own")
        parser.add_argument("--force", action="store_true", help="measure while jobs of this installation wait or run")
        parser.add_argument("--json", action="store_true", help="print JSON with every repetition, the rest on stderr")

    def handle(self, *args: Any, **given: Any) -> None:
        with until_stopped():
            try:
                result = self._measured(given)
            except Refused as refusal:
                self.stderr.write(str(refusal))
                sys.exit(2)
            if given["json"]:
                self.stdout.write(json.dumps(result, indent=2))
            else:
                report.show(result, Console(file=sys.stdout))
            sys.exit(1 if any(measure["refused"] for measure in result["measures"]) else 0)
        sys.exit(130)

    def _measured(self, given: dict[str, Any]) -> dict[str, Any]:
        only = [name.strip() for name in given["only"].split(",") if name.strip()]
        plan.chosen(only, rivals=given["rivals"])
        for name in ("jobs", "workers", "runs"):
            if given[name] < 1:
                raise Refused(f"--{name} is {given[name]}; expected 1 or more.")
        options = {"only": only, **{name: given[name] for name in ("jobs", "workers", "runs", "rivals")}}
        with ExitStack() as undo:
            home = Path(tempfile.mkdtemp(prefix="jobsite-bench-"))
            undo.callback(shutil.rmtree, home, ignore_errors=True)
            database_url, broker_url = undo.enter_context(private(home)) if given["private"] else _addresses()
            broker_url = given["broker"] or broker_url
            place = scratch(home, database_url, broker_url, force=given["force"])
            environment, queue = undo.enter_context(place)
            result = measured(environment, {**options, "queue": queue, "folder": str(home)})
            return {**result, "private": given["private"], "forced": given["force"]}


def _addresses() -> tuple[str, str]:
    """Of the installation: past a pooler, which would not know the bench's database."""
    direct = getattr(settings, "DATABASE_DIRECT_URL", None)
    database_url = direct or os.environ.get("DATABASE_URL") or embedded.database_url()
    return database_url, settings.CELERY_BROKER_URL
