"""CPU time and memory of processes, from /proc; Linux only, elsewhere everything is empty."""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


class Seen(NamedTuple):
    """A process that does one part of the work."""

    role: str
    pid: int


def usable_cores() -> int:
    """Cores that this process may run on; a container may have fewer than the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_seconds(pid: int) -> float | None:
    """User and system time that a process has used; None if it has ended, or is not to be looked at."""
    with suppress(*GONE):
        # The second field is a name in parentheses, which may hold spaces and parentheses itself.
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return None


def memory_kib(pid: int) -> dict[str, int] | None:
    """Resident memory, and its proportional share where pages are shared; None as for `cpu_seconds`."""
    with suppress(*GONE):
        found = {}
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in ("Rss", "Pss"):
                found[f"{name.lower()}_kib"] = int(rest.split()[0])
        return found or None
    return None


def is_postgres(pid: int) -> bool:
    """Whether a process of that number, which a server told, is that server's on this machine."""
    with suppress(*GONE):
        return (PROC / str(pid) / "comm").read_text().startswith("postgres")
    return False


class Cpu:
    """CPU time by role between the first look and the last; processes may come and go between them."""

    def __init__(self) -> None:
        self._first: dict[Seen, float] = {}
        self._last: dict[Seen, float] = {}

    def start(self, seen: Iterable[Seen]) -> None:
        self._first = {process: used for process in seen if (used := cpu_seconds(process.pid)) is not None}
        self._last = dict(self._first)

    def look(self, seen: Iterable[Seen]) -> None:
        self._last.update({process: used for process in seen if (used := cpu_seconds(process.pid)) is not None})

    def used(self) -> Mapping[str, float]:
        """Seconds by role. A process that was not there at the first look began within."""
        seconds: defaultdict[str, float] = defaultdict(float)
        for process, used in self._last.items():
            seconds[process.role] += used - self._first.get(process, 0.0)
        return {role: round(total, 3) for role, total in seconds.items()}
