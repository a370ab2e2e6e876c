"""Processes that are started again when they die, each in a session of its own and ended with this one."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .. import leash
from ..embedded import BASE_DIR

LONGEST_STOP = 30.0
"""Seconds a process may take to end after SIGTERM."""


@dataclass
class Process:
    name: str
    command: list[str]
    environment: Mapping[str, str]
    log: Path
    popen: "subprocess.Popen[bytes] | None" = None
    starts: int = 0
    wanted: bool = True
    farewell: signal.Signals = signal.SIGTERM
    told_at: float | None = None
    """When it was told to stop, on the monotonic clock."""

    @property
    def pid(self) -> int:
        assert self.popen is not None, f"{self.name} has not been started"
        return self.popen.pid

    @property
    def runs(self) -> bool:
        return self.popen is not None and self.popen.poll() is None

    def start(self) -> None:
        self.starts += 1
        self.told_at = None
        with open(self.log, "ab") as log:
            self.popen = subprocess.Popen(
                self.command,
                cwd=BASE_DIR,
                env={**self.environment, leash.PARENT: str(os.getpid())},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def send_all(self, number: signal.Signals) -> None:
        """Its children too."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def children(self) -> list[int]:
        try:
            return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]
        except FileNotFoundError:
            return []

    def tell(self) -> None:
        """Ask it to end; it is started again afterwards, if it is wanted."""
        self.told_at = self.told_at or time.monotonic()
        self.send(self.farewell)


class Processes:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.all: list[Process] = []
        self.stuck: list[str] = []
        """Those that did not stop in time and had to be killed."""

    def add(self, name: str, command: list[str], environment: Mapping[str, str]) -> Process:
        command = [sys.executable, leash.__file__, "TERM", sys.executable, *command]
        return self._start(Process(name, command, environment, self._folder / f"{name}.log"))

    def add_engine(self, name: str, environment: Mapping[str, str]) -> Process:
        """An embedded server; it fastens itself, and takes SIGINT for a quick end."""
        command = [sys.executable, "-m", "jobsite.embedded", name]
        log = self._folder / f"{name}.log"
        return self._start(Process(name, command, environment, log, farewell=signal.SIGINT))

    def _start(self, process: Process) -> Process:
        process.start()
        self.all.append(process)
        return process

    def look_after(self) -> None:
        """Start again what died, kill what does not stop."""
        for process in self.all:
            if process.runs:
                if process.told_at is not None and time.monotonic() - process.told_at > LONGEST_STOP:
                    self.stuck.append(f"{process.name} (process {process.pid})")
                    process.send_all(signal.SIGKILL)
            elif process.wanted:
                process.start()

    def starts(self) -> int:
        return sum(process.starts for process in self.all)

    def stop(self, *processes: Process) -> None:
        """End these, or all in the reverse order of their starts."""
        chosen = processes or tuple(reversed(self.all))
        for process in chosen:
            process.wanted = False
            if process.runs:
                process.send_all(signal.SIGCONT)
                process.tell()
                try:
                    process.popen.wait(LONGEST_STOP)  # type: ignore[union-attr]
                except subprocess.TimeoutExpired:
                    self.stuck.append(f"{process.name} (process {process.pid})")
                    process.send_all(signal.SIGKILL)
                    process.popen.wait()  # type: ignore[union-attr]
