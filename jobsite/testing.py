"""`manage.py test`: pytest in a process of its own, on a PostgreSQL and a Valkey that live as long as it does."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import psycopg

from . import leash
from .embedded import BASE_DIR, EngineError

SIDE_BY_SIDE = ["-n", "auto", "--maxprocesses", "4", "--dist", "loadgroup"]
"""The whole suite runs in a process per core, each with a database of its own."""


def run_pytest(arguments: list[str]) -> int:
    """Run pytest in the checkout with those arguments, side by side if there are none. Returns its exit code."""
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, stop)
    home = Path(tempfile.mkdtemp(prefix="jobsite-test-"))
    try:
        with engines(home) as environment:
            return pytest(arguments or SIDE_BY_SIDE, environment)
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(home, ignore_errors=True)


def pytest(arguments: list[str], environment: dict[str, str]) -> int:
    process = subprocess.Popen([sys.executable, "-m", "pytest", *arguments], cwd=BASE_DIR, env=environment)
    try:
        return process.wait()
    except BaseException:
        # Ctrl-C reached pytest too; anything else must be passed on.
        process.terminate()
        process.wait(20)
        raise


@contextlib.contextmanager
def engines(home: Path) -> Iterator[dict[str, str]]:
    """The environment of the tests, with servers under `home` for each URL that TEST_…_URL does not give."""
    address = home / "run"
    urls = {
        "DATABASE_URL": os.environ.get("TEST_DATABASE_URL") or f"postgresql://jobsite@/jobsite?host={address}/pg",
        "BROKER_URL": os.environ.get("TEST_BROKER_URL") or f"redis+socket://{address}/valkey?virtual_host=0",
    }
    environment = {**os.environ, **urls, "JOBSITE_HOME": str(home), "JOBSITE_TESTS": "1"}
    # manage.py has named the site's settings; the tests have their own, with their tasks.
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    wanted = {"postgres": "TEST_DATABASE_URL", "valkey": "TEST_BROKER_URL"}
    with contextlib.ExitStack() as running:
        missing = [name for name, given in wanted.items() if not os.environ.get(given)]
        started = {name: running.enter_context(engine(name, environment)) for name in missing}
        wait_until_up(urls["DATABASE_URL"], home, started)
        yield environment


@contextlib.contextmanager
def engine(name: str, environment: dict[str, str]) -> "Iterator[subprocess.Popen[bytes]]":
    with open(Path(environment["JOBSITE_HOME"]) / f"{name}.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jobsite.embedded", name, "--throwaway"],
            cwd=BASE_DIR,
            env={**environment, leash.PARENT: str(os.getpid())},
            stdout=log,
            stderr=subprocess.STDOUT,
            # Ctrl-C must end pytest first.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


def wait_until_up(database_url: str, home: Path, started: "dict[str, subprocess.Popen[bytes]]") -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(database_url, connect_timeout=5).close()
            if "valkey" not in started or (home / "run" / "valkey").exists():
                return
        except psycopg.OperationalError as error:
            if "postgres" not in started or time.monotonic() > deadline:
                raise EngineError(f"The tests' database does not answer: {' '.join(str(error).split())}") from None
        for name, process in started.items():
            if process.poll() is not None:
                log = (home / f"{name}.log").read_text().strip().splitlines() or ["it said nothing"]
                raise EngineError(f"Cannot start the tests' {name}: {log[-1]}")
        time.sleep(0.05)


def stop(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
