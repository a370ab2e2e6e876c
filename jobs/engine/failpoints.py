"""Named places where a test lets a process die, stop or lose its connections, in the middle of the work.

JOBS_FAILPOINTS names a directory. A file in it that is called like a place arms it: `K6` with `kill@3` kills the
process that comes by for the third time. Whoever acts renames the file to `K6.hit` first, so that it happens once.
Without the variable a place is a call of an empty function.
"""

import gc
import os
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg

PLACES = {
    "KE1": "producer: a job is inserted, its transaction not committed",
    "KE2": "producer: committed, the dispatcher not woken",
    "KD1": "dispatcher: jobs are leased, the transaction not committed",
    "KD2": "dispatcher: leases committed, nothing sent",
    "KD3": "dispatcher: some of the leases sent",
    "KD4": "dispatcher: all sent, not noted",
    "K1": "worker's child: a message came, its lease not won",
    "K2": "worker's child: won, before the first job",
    "K3": "worker's child: in a task that passes here",
    "K4": "worker's child: a job returned, its outcome not kept",
    "K5": "worker's child: outcomes kept, not written",
    "K6": "worker's child: outcomes written, their commit not noted",
    "K7": "worker's child: lease ended, its slot not cleared",
    "K8": "worker: told to stop",
    "K9": "worker: a child has a lease",
    "K10": "worker: a child was lost, its lease not taken back",
    "KR1": "dispatcher: a lost lease found, not taken back",
}
ACTIONS = ("kill", "killpg", "stop:N", "sleep:N", "raise", "lost", "cutdb", "cutbroker")
"""N is seconds. `stop` and `killpg` mean all of the process group, `lost` a reply of the database that never comes."""

_folder = os.environ.get("JOBS_FAILPOINTS")


class Failpoint(RuntimeError):
    """Raised by the action `raise`."""


if _folder:
    _armed_in = Path(_folder)

    def failpoint(place: str) -> None:
        """Do what this place is armed with, if it is."""
        if (action := _due(_armed_in / place)) is not None:
            name, _, seconds = action.partition(":")
            _DO[name](float(seconds or 0))

else:

    def failpoint(place: str) -> None:
        """Nothing: no place is armed."""


def arm(folder: Path, place: str, action: str) -> None:
    """Let `place` do `action` (`kill`, `stop:6`, `raise@2`, …) once. Raises KeyError for what is not known."""
    PLACES[place], _DO[action.partition("@")[0].partition(":")[0]]
    was_hit(folder, place).unlink(missing_ok=True)
    draft = folder / f"{place}.new"
    draft.write_text(action)
    draft.rename(folder / place)


def was_hit(folder: Path, place: str) -> Path:
    """The file that exists once the place has done what it was armed with."""
    return folder / f"{place}.hit"


_passed: Counter[tuple[str, int]] = Counter()


def _due(armed: Path) -> str | None:
    with suppress(FileNotFoundError):
        action, _, nth = armed.read_text().partition("@")
        life = armed.name, armed.stat().st_mtime_ns
        _passed[life] += 1
        if _passed[life] >= int(nth or 1):
            armed.rename(was_hit(armed.parent, armed.name))
            return action
    return None  # not armed, or another process was faster


def _kill(_: float) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _kill_group(_: float) -> None:
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _stop_group(seconds: float) -> None:
    group = os.getpgrp()
    wake = ["sh", "-c", f"sleep {seconds}; kill -CONT -{group}"]
    subprocess.Popen(wake, start_new_session=True)
    os.killpg(group, signal.SIGSTOP)


def _raise(_: float) -> None:
    raise Failpoint("a failpoint was armed to raise")


def _lose_reply(_: float) -> None:
    _cut_database(0)
    raise psycopg.OperationalError("a failpoint lost the reply")


def _cut_database(_: float) -> None:
    for connection in _objects(psycopg.Connection):
        if not connection.closed:
            _shut(connection.fileno())


def _cut_broker(_: float) -> None:
    for connected in _objects(socket.socket):
        if connected.fileno() >= 0 and connected.type == socket.SOCK_STREAM and _has_address(connected):
            _shut(connected.fileno())


def _has_address(connected: socket.socket) -> bool:
    """Whether it leads to a server: a process's pairs of sockets for itself have none, and no network cuts them."""
    try:
        return bool(connected.getpeername())
    except OSError:
        return False  # not connected


def _objects(kind: type) -> list:
    # Found among all objects, so that nothing has to keep a list; by type(), because a proxy lies about its class.
    return [found for found in gc.get_objects() if issubclass(type(found), kind)]


def _shut(descriptor: int) -> None:
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as same:
        same.shutdown(socket.SHUT_RDWR)


_DO: dict[str, Callable[[float], None]] = {
    "kill": _kill,
    "killpg": _kill_group,
    "stop": _stop_group,
    "sleep": time.sleep,
    "raise": _raise,
    "lost": _lose_reply,
    "cutdb": _cut_database,
    "cutbroker": _cut_broker,
}
