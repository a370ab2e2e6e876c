"""The soak's own installation: PostgreSQL, Valkey or the broker that was named, the proxy, dispatchers and workers."""

import asyncio
import os
import secrets
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from ..embedded import BASE_DIR, EngineError
from ..testing import wait_until_up
from . import effects, ledger, producer
from .processes import Process, Processes
from .proxy import Edge, Proxy, Streams

QUICK = {
    "JOBS_HEARTBEAT_INTERVAL": "0.5",
    "JOBS_WORKER_TIMEOUT": "5",
    "JOBS_DISPATCH_TIMEOUT": "4",
    "JOBS_SHUTDOWN_GRACE": "3",
    "JOBS_RETRY_DELAY": "0.3",
    "JOBS_CANCEL_GRACE": "2",
    "JOBS_DEFAULT_MAX_RETRIES": "0",
    "JOBS_POISON_AFTER": "3",
}
"""What takes a minute in production takes seconds here."""
TIMEOUT = float(QUICK["JOBS_WORKER_TIMEOUT"])
PORTS = {"amqp": 5672, "redis": 6379}


def check_broker(url: str) -> None:
    """Raises EngineError for a broker that no proxy can stand before."""
    if (scheme := urlsplit(url).scheme) not in PORTS:
        raise EngineError(
            f"--broker names {scheme!r}; expected amqp:// or redis://, without TLS: it goes through a proxy."
        )


class Site:
    def __init__(self, home: Path, seed: int, broker: str | None, *, backlog: int) -> None:
        self.home = home
        self.own_broker = broker is None
        self.failpoints, self.ledger = home / "failpoints", home / "ledger"
        for folder in (self.failpoints, self.ledger):
            folder.mkdir()
        self.database_url = f"postgresql://jobsite@/jobsite?host={home}/run/pg"
        self.broker_url = broker or f"redis+socket://{home}/run/valkey?virtual_host=0"
        name = secrets.token_hex(3)
        self.queues = [f"soak-{name}-a", f"soak-{name}-b"]
        self.database = [Edge(f"{who}–database", self._to_database) for who in ("worker", "dispatcher", "producer")]
        self.broker = [Edge(f"{who}–broker", self._to_broker()) for who in ("worker", "dispatcher")]
        self.processes = Processes(home)
        self.environment = {
            **os.environ,
            **QUICK,
            "JOBSITE_HOME": str(home),
            "DJANGO_SETTINGS_MODULE": "jobsite.soak.settings",
            "PYTHONPATH": str(BASE_DIR),
            "PYTHONUNBUFFERED": "1",
            "SECRET_KEY": "soak",
            "DATABASE_URL": self.database_url,
            "BROKER_URL": self.broker_url,
            "JOBS_FAILPOINTS": str(self.failpoints),
            ledger.FOLDER: str(self.ledger),
            producer.QUEUES: ",".join(self.queues),
            producer.SEED: str(seed),
            producer.BACKLOG: str(backlog),
        }
        self.environment.pop("DATABASE_POOL", None)

    def start(self) -> None:
        """Raises EngineError with one line that says what is missing."""
        self.postgres = self.processes.add_engine("postgres", self.environment)
        started = {"postgres": self.postgres.popen}
        if self.own_broker:
            self.valkey = self.processes.add_engine("valkey", self.environment)
            started["valkey"] = self.valkey.popen
        wait_until_up(self.database_url, self.home, {name: found for name, found in started.items() if found})
        self._migrate()
        Proxy([*self.database, *self.broker]).start()
        worker, dispatcher, caller = self.database
        celery = ["-m", "celery", "-A", "jobsite", "worker", "-c", "2", "-l", "WARNING", "--without-gossip"]
        celery += ["--without-mingle", "-n"]
        everywhere = [] if self.own_broker else ["-Q", ",".join(self.queues)]
        at_worker = self._through(worker, self.broker[0])
        self.workers = [
            self.processes.add("worker-1", [*celery, "soak1@%h", *everywhere], at_worker),
            self.processes.add("worker-2", [*celery, "soak2@%h", "-Q", ",".join(self.queues)], at_worker),
        ]
        at_dispatcher = self._through(dispatcher, self.broker[1])
        self.dispatchers = [
            self.processes.add(f"dispatcher-{n}", ["manage.py", "dispatch"], at_dispatcher) for n in (1, 2)
        ]
        self.producer: Process = self.processes.add(
            "producer", ["-m", "jobsite.soak.producer"], self._through(caller, self.broker[1])
        )

    @property
    def fleet(self) -> list[Process]:
        """Everything but the servers, as far as it was started."""
        return [process for process in self.processes.all if process.name not in ("postgres", "valkey")]

    @property
    def broker_kind(self) -> str:
        return "Valkey" if self.own_broker else urlsplit(self.broker_url).scheme

    def heal_quietly(self) -> None:
        """Also where it never started."""
        with suppress(AssertionError):
            self.heal()

    def heal(self) -> None:
        """Every edge passes, no place is armed, nobody stands still."""
        for edge in (*self.database, *self.broker):
            edge.delay(0)
            edge.release()
            edge.farewell()
        for armed in self.failpoints.glob("*[0-9]"):
            armed.unlink(missing_ok=True)

    def _through(self, database: Edge, broker: Edge) -> dict[str, str]:
        parts = urlsplit(self.broker_url)
        user = parts.netloc.rpartition("@")[0]
        if parts.scheme == "redis+socket":
            address = f"redis://127.0.0.1:{broker.port}/0"
        else:
            address = urlunsplit(parts._replace(netloc=f"{user}{'@' if user else ''}127.0.0.1:{broker.port}"))
        return {
            **self.environment,
            "DATABASE_URL": f"postgresql://jobsite@127.0.0.1:{database.port}/jobsite?sslmode=disable&gssencmode=disable",
            "BROKER_URL": address,
        }

    def _to_database(self) -> Awaitable[Streams]:
        return asyncio.open_unix_connection(str(self.home / "run" / "pg" / ".s.PGSQL.5432"))

    def _to_broker(self) -> Callable[[], Awaitable[Streams]]:
        if self.own_broker:
            return lambda: asyncio.open_unix_connection(str(self.home / "run" / "valkey"))
        parts = urlsplit(self.broker_url)
        return lambda: asyncio.open_connection(parts.hostname, parts.port or PORTS[parts.scheme])

    def _migrate(self) -> None:
        command = [sys.executable, "manage.py", "migrate", "-v", "0"]
        done = subprocess.run(command, cwd=BASE_DIR, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise EngineError(f"Cannot migrate the soak's database: {done.stderr.strip().splitlines()[-1]}")
        with psycopg.connect(self.database_url) as connection:
            connection.execute(effects.CREATE)
