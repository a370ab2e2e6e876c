"""A database of the bench's own beside the installation's, and queues of its own in its broker: none of them stays."""

import os
import subprocess
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import kombu
import psycopg
from celery import current_app
from psycopg import sql

from ..embedded import BASE_DIR, EngineError
from ..soak.processes import Processes
from ..testing import wait_until_up
from . import SITE, Refused
from .rival import rival_app

LOCK = zlib.crc32(b"jobsite bench")
"""Key of the advisory lock, in the installation's database."""
BUSY = "SELECT count(*) FROM jobs_job WHERE state IN ('pending', 'dispatched', 'running', 'retrying')"
LONGEST_NAME = 63


@contextmanager
def scratch(home: Path, database_url: str, broker_url: str, *, force: bool) -> Iterator[tuple[dict[str, str], str]]:
    """The environment of the bench's processes, and its queue. Raises Refused while the installation has work to do.

    What a bench that was killed has left behind is removed by the next one, under the lock that both take.
    """
    with ExitStack() as undo:
        server = undo.enter_context(_locked(database_url))
        if not force:
            _refuse_if_busy(server)
        name = server.info.dbname[: LONGEST_NAME - len("_bench")] + "_bench"
        queue = f"{name.replace('_', '-')}-{zlib.crc32(database_url.encode()):08x}"
        queues = [queue, f"{queue}-rival"]
        _forget(broker_url, queues)
        undo.callback(_forget_quietly, broker_url, queues)
        undo.callback(_drop, server, name)
        _create(server, name)
        environment = {
            **os.environ,
            SITE: os.environ["DJANGO_SETTINGS_MODULE"],
            "DJANGO_SETTINGS_MODULE": "jobsite.bench.settings",
            "DATABASE_URL": urlunsplit(urlsplit(database_url)._replace(path=f"/{name}")),
            "BROKER_URL": broker_url,
            "PYTHONPATH": os.pathsep.join(filter(None, (str(BASE_DIR), os.environ.get("PYTHONPATH")))),
            rival_app.QUEUE: queues[1],
            rival_app.RECORDS: str(home / "records"),
        }
        environment.pop("DATABASE_POOL", None)
        _migrate(environment)
        yield environment, queue


@contextmanager
def private(home: Path) -> Iterator[tuple[str, str]]:
    """A PostgreSQL and a Valkey of the bench's own, durable as in production. Yields their addresses."""
    database_url = f"postgresql://jobsite@/jobsite?host={home}/run/pg"
    environment = {**os.environ, "JOBSITE_HOME": str(home), "PYTHONPATH": str(BASE_DIR)}
    processes = Processes(home)
    try:
        engines = {name: processes.add_engine(name, environment) for name in ("postgres", "valkey")}
        wait_until_up(database_url, home, {name: found.popen for name, found in engines.items() if found.popen})
        yield database_url, f"redis+socket://{home}/run/valkey?virtual_host=0"
    finally:
        processes.stop()


@contextmanager
def _locked(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection to the installation's database that holds the lock of its one bench."""
    try:
        server = psycopg.connect(database_url, autocommit=True, application_name="jobs bench", connect_timeout=5)
    except psycopg.OperationalError as error:
        raise Refused(
            f"Cannot reach the database: {' '.join(str(error).split())}. Start `python3 manage.py engines` in another "
            "terminal, correct DATABASE_URL, or use --private for a PostgreSQL and a Valkey of the bench's own."
        ) from None
    with server:
        (taken,) = server.execute("SELECT pg_try_advisory_lock(%s)", [LOCK]).fetchone() or (False,)
        if not taken:
            raise Refused("Another bench runs on this installation: wait for its end, or use --private.")
        yield server


def _refuse_if_busy(server: psycopg.Connection) -> None:
    there = server.execute("SELECT to_regclass('jobs_job')").fetchone()
    if not there or there[0] is None:
        return
    (waiting,) = server.execute(BUSY).fetchone() or (0,)
    if waiting:
        raise Refused(
            f"{waiting:,} jobs of this installation wait or run: both they and the figures would suffer. "
            "Wait for their end, use --force to measure beside them, or --private for servers of the bench's own."
        )


def _create(server: psycopg.Connection, name: str) -> None:
    _drop(server, name)
    try:
        # template1 can't be copied while anybody is connected to it.
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    except psycopg.errors.InsufficientPrivilege:
        raise Refused(
            f"The user {server.info.user!r} may not make the bench's own database {name!r}. "
            f'Allow it, ALTER ROLE "{server.info.user}" CREATEDB, or use --private.'
        ) from None


def _drop(server: psycopg.Connection, name: str) -> None:
    server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _forget(broker_url: str, queues: list[str]) -> None:
    """Remove these queues with all that is in them. Raises Refused if the broker does not answer."""
    with current_app.connection_for_write(broker_url, connect_timeout=5) as connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0.2, timeout=10)
            for queue in queues:
                bound = kombu.Queue(queue, kombu.Exchange(queue), routing_key=queue)(connection.default_channel)
                bound.declare()
                bound.purge()
                bound.delete()
                connection.default_channel.exchange_delete(queue)
        # Each transport has errors of its own, down to a KeyError for an unknown scheme.
        except Exception as error:
            raise Refused(
                f"Cannot reach the broker ({connection.as_uri()}): {error}. Start `python3 manage.py engines` in "
                "another terminal, correct BROKER_URL or --broker, or use --private."
            ) from None


def _forget_quietly(broker_url: str, queues: list[str]) -> None:
    with suppress(Refused):
        _forget(broker_url, queues)


def _migrate(environment: Mapping[str, str]) -> None:
    command = [sys.executable, "manage.py", "migrate", "-v", "0"]
    done = subprocess.run(command, cwd=BASE_DIR, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise EngineError(f"Cannot migrate the bench's database: {done.stderr.strip().splitlines()[-1]}")
