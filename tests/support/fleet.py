"""Real processes for tests: dispatcher, workers, a Valkey of their own; started, killed and stopped for real."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import redis
from django.db import connection

from jobs.engine.dispatch import LOCK_FAMILY
from jobs.engine.sql import statement
from jobs.models import Worker
from jobsite.valkey import find_program

from .wait import wait_until

ROOT = Path(__file__).resolve().parents[2]
# Everything that is bounded by seconds in production is bounded by little here.
QUICK = {
    "JOBS_HEARTBEAT_INTERVAL": "0.5",
    "JOBS_WORKER_TIMEOUT": "4",
    "JOBS_DISPATCH_TIMEOUT": "3",
    "JOBS_RETRY_DELAY": "0.2",
}


class Fleet:
    """Processes of one test, on the test database and a broker."""

    def __init__(self, folder: Path, broker_url: str) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            **QUICK,
            "DATABASE_URL": database_url(),
            "BROKER_URL": broker_url,
            "DJANGO_SETTINGS_MODULE": "tests.support.settings",
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": str(ROOT),
        }
        self._processes: list[subprocess.Popen] = []

    def dispatcher(self, *arguments: str) -> subprocess.Popen:
        process = self.start("dispatcher", "manage.py", "dispatch", *arguments)
        wait_until(lambda: dispatchers() or self.gone(process), what="a dispatcher that leads")
        return process

    def worker(self, *arguments: str, slots: int = 2, name: str = "worker") -> subprocess.Popen:
        before = set(Worker.objects.values_list("id", flat=True))
        process = self.start(
            name,
            "-m",
            "celery",
            "-A",
            "jobsite",
            "worker",
            "-c",
            str(slots),
            "-l",
            "INFO",
            "-n",
            f"{name}@%h",
            "--without-gossip",
            "--without-mingle",
            *arguments,
        )
        ready = Path(self.log(name))
        wait_until(
            lambda: (
                (Worker.objects.exclude(id__in=before).exists() and " ready." in ready.read_text())
                or self.gone(process)
            ),
            what="a worker that is ready",
        )
        return process

    def start(self, name: str, *command: str) -> subprocess.Popen:
        with open(self.log(name), "ab") as log:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def log(self, name: str) -> str:
        return str(self.folder / f"{name}.log")

    def gone(self, process: subprocess.Popen) -> bool:
        if process.poll() is not None:
            logs = "\n".join(path.read_text()[-3000:] for path in sorted(self.folder.glob("*.log")))
            raise AssertionError(f"process ended with {process.returncode}\n{logs}")
        return False

    def stop(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
        for process in self._processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def kill(process: subprocess.Popen) -> None:
    """kill -9, and reap."""
    process.kill()
    process.wait()


def children(process: subprocess.Popen) -> list[int]:
    """Process ids of the direct children."""
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def dispatchers() -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement("dispatchers"), {"family": LOCK_FAMILY})
        return cursor.fetchone()[0]


def database_url() -> str:
    """DATABASE_URL of the test database that this process uses."""
    parts = urlsplit(os.environ["DATABASE_URL"])
    return urlunsplit(parts._replace(path="/" + connection.settings_dict["NAME"]))


class Valkey:
    """A broker of one test: killed, it comes back empty."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "broker"
        self._process: subprocess.Popen | None = None
        self.url = f"redis+socket://{self._socket}?virtual_host=0"

    def start(self) -> None:
        self._socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [find_program(), "--port", "0", "--unixsocket", str(self._socket), "--save", "", "--appendonly", "no"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self.answers, what="a Valkey that answers")

    def answers(self) -> bool:
        try:
            return redis.Redis(unix_socket_path=str(self._socket)).ping()
        except redis.ConnectionError:
            return False

    def kill(self) -> None:
        if self._process is not None:
            kill(self._process)
