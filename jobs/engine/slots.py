"""What each child process of a worker runs right now, in memory shared with the worker's main process.

The main process outlives a killed child, and reads here how far it came.
"""

import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

# lease token, process id, jobs begun (1 = the first runs), then of the current one: id, start (monotonic), limit;
# last, written by the main process, the id of the job to stop
_SLOT = struct.Struct("<16sII16sdd")
_STOP = 16
_HEADER = 16  # byte 0: someone listens to task events; byte 1: stop after the current job


@dataclass(frozen=True, slots=True)
class Running:
    """One job in a child process; `limit` is its hard time limit in seconds, 0 for none."""

    token: UUID
    pid: int
    begun: int
    job_id: UUID
    started: float
    limit: float


_NOBODY = bytes(16)


class Slots:
    """Made in the main process before it forks; `size` children at most."""

    def __init__(self, size: int = 1024) -> None:
        self.size = size
        self._memory = mmap.mmap(-1, _HEADER + size * (_SLOT.size + _STOP))

    def write(
        self, index: int, token: UUID, begun: int, started: float, *, job_id: UUID | None = None, limit: float = 0.0
    ) -> None:
        job = job_id.bytes if job_id else _NOBODY
        if job_id:
            # The same job may have been stopped here in an earlier life.
            self.ask_to_stop(index, UUID(bytes=_NOBODY))
        _SLOT.pack_into(self._memory, self._at(index), token.bytes, os.getpid(), begun, job, started, limit)

    def running(self) -> Iterator[tuple[int, Running]]:
        """Every slot with a job in it, with its index."""
        for index in range(self.size):
            if (found := self.read(index)) is not None:
                yield index, found

    def read(self, index: int) -> Running | None:
        token, pid, begun, job, started, limit = _SLOT.unpack_from(self._memory, self._at(index))
        if job == _NOBODY or not pid:  # half a write of the child's
            return None
        return Running(UUID(bytes=token), pid, begun, UUID(bytes=job), started, limit)

    def ask_to_stop(self, index: int, job_id: UUID) -> None:
        """Ask the child for the end of that job; if it runs another by now, that one is not meant."""
        at = self._at(index) + _SLOT.size
        self._memory[at : at + _STOP] = job_id.bytes

    def is_to_stop(self, index: int, job_id: UUID) -> bool:
        at = self._at(index) + _SLOT.size
        return self._memory[at : at + _STOP] == job_id.bytes

    def clear(self, index: int) -> None:
        self._memory[self._at(index) : self._at(index) + _SLOT.size] = bytes(_SLOT.size)

    def begun(self, token: UUID) -> int | None:
        """How many jobs of a lease had begun, by whichever child had it last; None when no child shows it."""
        found = None
        for index in range(self.size):
            held, _, begun, *_ = _SLOT.unpack_from(self._memory, self._at(index))
            # A second child may show it too for a moment, with 0: it got the message twice and can't win.
            if held == token.bytes and (found is None or begun > found):
                found = begun
        return found

    @property
    def listening(self) -> bool:
        return self._memory[0] == 1

    @listening.setter
    def listening(self, value: bool) -> None:
        self._memory[0] = int(value)

    @property
    def stopping(self) -> bool:
        return self._memory[1] == 1

    @stopping.setter
    def stopping(self, value: bool) -> None:
        self._memory[1] = int(value)

    def _at(self, index: int) -> int:
        return _HEADER + (index % self.size) * (_SLOT.size + _STOP)
