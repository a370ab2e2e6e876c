"""What was asked for and what ran, as lines in one append-only file per process, apart from the database under test."""

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = "JOBSITE_SOAK_LEDGER"
"""Environment variable: the directory of the files."""


@dataclass(slots=True)
class Wish:
    """A call; `outcome` of its transaction is committed, rolled_back or unknown. The others are ids of jobs."""

    kind: str
    outcome: str = "unknown"
    after: str | None = None
    """The step of a chain that it follows."""
    linked: str | None = None
    """The job whose completion calls it."""
    body: str | None = None
    """The body of the chord that it is a member of."""
    key: str | None = None
    """Its unique key."""
    holder: str | None = None
    """The job that held the key: this call got its id."""


RELATIONS = frozenset({"after", "linked", "body", "key", "holder"})


@dataclass(slots=True)
class Start:
    """One start of a task in a process; times are seconds on this machine's monotonic clock, None: never came there."""

    job: str
    attempt: int
    pid: int
    start: float
    effect: float | None = None
    end: float | None = None
    snoozed: float | None = None

    @property
    def worked_until(self) -> float | None:
        """When its work was done, as far as it is known."""
        return self.end or self.effect


_files: dict[int, int] = {}


def write(lines: Iterable[tuple[str, str, object]]) -> None:
    """Append (word, job id, detail) lines; a kill -9 afterwards can't take them back."""
    pid = os.getpid()
    if pid not in _files:
        _files.clear()
        name = f"{pid}-{time.monotonic_ns()}"
        _files[pid] = os.open(Path(os.environ[FOLDER]) / name, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    now = time.monotonic()
    os.write(_files[pid], "".join(f"{word} {job} {detail} {pid} {now:.6f}\n" for word, job, detail in lines).encode())


def read(folder: Path) -> tuple[dict[str, Wish], list[Start]]:
    """The wishes by job id, and every start."""
    wishes: dict[str, Wish] = {}
    starts: dict[tuple[str, str, int], Start] = {}
    again: list[Start] = []
    for word, job, detail, pid, moment in _lines(folder):
        if word == "wish":
            wishes[job] = Wish(detail)
        elif word in ("committed", "rolled_back"):
            wishes[job].outcome = word
        elif word in RELATIONS:
            setattr(wishes[job], word, detail)
        elif word == "start":
            key = (job, detail, pid)
            if key in starts:
                again.append(starts[key])
            starts[key] = Start(job, int(detail), pid, moment)
        else:
            setattr(starts[job, detail, pid], word, moment)
    return wishes, [*again, *starts.values()]


def _lines(folder: Path) -> Iterator[tuple[str, str, str, int, float]]:
    for path in sorted(folder.iterdir()):
        for line in path.read_text().splitlines():
            word, job, detail, pid, moment = line.split()
            yield word, job, detail, int(pid), float(moment)
