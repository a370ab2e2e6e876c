"""The worker registry: boots announce themselves, send heartbeats, stop; earlier boots of a dead process are void."""

import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

from .link import Link


def host_identity() -> str:
    """This machine and process namespace: process ids can be compared only within it."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()} {boot} {namespace}"


def process_is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return pid == os.getpid()


def register(
    link: Link,
    worker: UUID,
    *,
    name: str,
    slots: int,
    queues: Sequence[str] | None,
    is_gone: Callable[[int], bool] = process_is_gone,
) -> None:
    """Announce a boot and void earlier boots on this host whose process is gone."""
    host = host_identity()
    gone = [id_ for id_, pid in link.rows("boots", host=host) if is_gone(pid)]
    link.rows(
        "register",
        id=worker,
        name=name,
        host=host,
        pid=os.getpid(),
        slots=slots,
        queues=list(queues) if queues is not None else None,
        gone=gone,
    )


def heartbeat(link: Link, worker: UUID, *, slots: int, stopping: bool) -> bool:
    """Stay alive. False: the boot was presumed dead; it can win nothing more and should end."""
    return bool(link.rows("heartbeat", id=worker, slots=slots, stopping=stopping))


def stop(link: Link, worker: UUID) -> None:
    link.rows("stop", id=worker)
