"""What `up` looks at before it starts anything; each problem is one line that says what to do."""

import fcntl
import os
import socket
import time

import kombu
from django.conf import settings
from django.db import connection
from django.db.utils import Error, NotSupportedError

from .embedded import HOME, EngineError, make_home

OLDEST_POSTGRES = 150000


def lock_home() -> int:
    """Take the lock of this JOBSITE_HOME, waiting for one that is still stopping. Returns the open file's number."""
    file = os.open(make_home() / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + 20
    while not take(file):
        holder = os.pread(file, 20, 0).decode().strip()
        if is_alive(holder):
            raise EngineError(
                f"Already running here, pid {holder}: stop it with `kill {holder}` or Ctrl-C in its terminal."
            )
        if time.monotonic() > deadline:
            raise EngineError(f"The last run in {HOME} does not stop: `kill {read_pid()}`, then start this again.")
        time.sleep(0.2)
    os.ftruncate(file, 0)
    os.pwrite(file, str(os.getpid()).encode(), 0)
    return file


def take(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        pass
    return True


def read_pid() -> str:
    pid = HOME / "supervisord.pid"
    return pid.read_text().strip() if pid.exists() else "its supervisord"


def check_port(host: str, port: int, *, option: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the servers do: a connection that ended a moment ago must not count as a listener.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise EngineError(f"Cannot listen on {host}:{port}: {reason}. Choose another port with {option}.") from None


def check_database() -> None:
    """The database of DATABASE_URL: it answers, and is new enough."""
    try:
        connection.ensure_connection()
        version = connection.connection.info.server_version
    except (Error, NotSupportedError) as error:
        reason = " ".join(str(error).split())
        raise EngineError(
            f"Cannot use the database of DATABASE_URL: {reason}. Correct DATABASE_URL, or unset it."
        ) from None
    finally:
        connection.close()
    if version < OLDEST_POSTGRES:
        raise EngineError(f"DATABASE_URL is PostgreSQL {version // 10000}; Jobsite needs 15 or newer.")


def check_broker() -> None:
    """The broker of BROKER_URL answers."""
    broker = kombu.Connection(settings.CELERY_BROKER_URL, connect_timeout=5)
    try:
        broker.ensure_connection(max_retries=1, interval_start=0.2, timeout=10)
    # Each transport has errors of its own, down to a KeyError for an unknown scheme.
    except Exception as error:
        raise EngineError(
            f"Cannot reach the broker of BROKER_URL ({broker.as_uri()}): {error}. Correct BROKER_URL, or unset it."
        ) from None
    finally:
        broker.release()
