import dataclasses
import json
import random
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand

from jobsite.soak import report
from jobsite.soak.run import Options, soak
from jobsite.up import until_stopped


class Command(BaseCommand):
    help = """Strike a fleet with faults, and check that nothing is lost.

It starts a PostgreSQL, a Valkey, two dispatchers, two workers and a producer of its own in a temporary directory,
and a proxy between them. DATABASE_URL and BROKER_URL are not looked at. While jobs run, it kills and stops processes,
restarts the database, empties and restarts the broker, cuts and slows connections, locks rows, and sends messages
twice, late or forged. In the end it compares the rows with a ledger that the tasks wrote into files: no job is lost,
none is recorded twice, every start and every overlap has an attempt that explains it.

Exit code 1: something did not hold; the directory with logs and ledger is kept then.
With --broker, only queues of its own (soak-…) are touched there, and they are removed in the end."""
    requires_system_checks: list[str] = []

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        return super().create_parser(*args, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--minutes", type=float, default=5.0, help="at most so long, without the end (5)")
        parser.add_argument(
            "--seed", type=int, help="of the faults and the jobs; printed, and chosen by chance if absent"
        )
        parser.add_argument("--jobs", type=int, help="enough once so many have ended, and --faults is reached")
        parser.add_argument("--faults", type=int, help="enough once so many have struck, and --jobs is reached")
        parser.add_argument("--pace", type=float, default=4.0, help="mean seconds from one fault to the next (4)")
        parser.add_argument("--broker", help="an amqp:// or redis:// address instead of the soak's own Valkey")
        parser.add_argument(
            "--measure", type=int, default=0, metavar="N", help="restarts of the database with a measured recovery (0)"
        )
        parser.add_argument("--json", action="store_true", help="print the summary as JSON, the rest on stderr")
        parser.add_argument("--keep", action="store_true", help="keep the directory in any case")

    def handle(self, *args: Any, **given: Any) -> None:
        seed = given["seed"] if given["seed"] is not None else random.randrange(10**6)
        options = Options(
            minutes=given["minutes"],
            seed=seed,
            jobs=given["jobs"],
            faults=given["faults"],
            broker=given["broker"],
            pace=given["pace"],
            measured=given["measure"],
            keep=given["keep"],
        )
        say = (self.stderr if given["json"] else self.stdout).write
        say(f"Soak with seed {seed}, on servers of its own; DATABASE_URL and BROKER_URL are not touched.")
        with until_stopped():
            result = soak(options, say)
            for line in report.lines(result):
                say(line)
            if given["json"]:
                self.stdout.write(json.dumps(dataclasses.asdict(result), indent=2))
            raise SystemExit(1 if result.violations or result.shortfalls else 0)
