"""What each child process of a worker runs right now, in memory shared with the worker's main process.

The main process outlives a killed child, and reads here how far it came.
"""

import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

# Written by the child: lease token, process id, jobs begun (1 = the first runs), jobs behind the current one; of the
# current one: id, when its lease was won, its start (both monotonic), its limit. Native sizes: whole words at once.
_SLOT = struct.Struct("16sIII4x16sddd")
_PID, _JOB, _LIMIT = 16, 32, 64  # bytes from the start of a slot
# Written by the main process: the id of the job to stop, then the token of the lease that must begin no further job.
_STOP, _HALT = _SLOT.size, _SLOT.size + 16
_SIZE = _SLOT.size + 32
_ZERO = bytes(16)
_HEADER = 16  # byte 0: someone listens to task events; byte 1: stop after the current job


@dataclass(frozen=True, slots=True)
class Running:
    """One job in a child process; `limit` is its hard time limit in seconds, 0 for none.

    `behind` jobs of its lease, won at `since`, wait for it. `job_id` is NOBODY between two jobs.
    """

    token: UUID
    pid: int
    begun: int
    job_id: UUID
    started: float
    limit: float
    behind: int = 0
    since: float = 0.0


NOBODY = UUID(int=0)


class Slots:
    """Made in the main process before it forks; half of `size` child processes at most, or `size` threads."""

    def __init__(self, size: int = 1024) -> None:
        self.size = size
        self._memory = mmap.mmap(-1, _HEADER + size * _SIZE)
        self._pids = memoryview(self._memory).cast("I")[(_HEADER + _PID) // 4 :: _SIZE // 4]

    def write(
        self,
        index: int,
        token: UUID,
        begun: int,
        started: float,
        *,
        job_id: UUID = NOBODY,
        limit: float = 0.0,
        behind: int = 0,
        since: float = 0.0,
    ) -> None:
        at = self._at(index)
        if job_id != NOBODY:
            # The same job may have been stopped here in an earlier life.
            self._memory[at + _STOP : at + _HALT] = _ZERO
        _SLOT.pack_into(self._memory, at, token.bytes, os.getpid(), begun, behind, job_id.bytes, since, started, limit)

    def carrying(self) -> Iterator[tuple[int, Running]]:
        """Every slot with a lease in it, with its index."""
        for index, pid in enumerate(self._pids.tolist()):
            if pid and (found := self._peek(index)) is not None:
                yield index, found

    def running(self) -> Iterator[tuple[int, Running]]:
        """Every slot with a job in it, with its index."""
        return ((index, found) for index, found in self.carrying() if found.job_id != NOBODY)

    def read(self, index: int) -> Running | None:
        found = self._peek(index)
        return found if found is not None and found.job_id != NOBODY else None

    def unchanged(self, index: int, seen: Running) -> bool:
        return self._peek(index) == seen

    def ask_to_stop(self, index: int, job_id: UUID) -> None:
        """Ask the child for the end of that job; if it runs another by now, that one is not meant."""
        self._put(index, _STOP, job_id)

    def is_to_stop(self, index: int, job_id: UUID) -> bool:
        return self._holds(index, _STOP, job_id)

    def halt(self, index: int, token: UUID) -> None:
        """The child begins no further job of that lease. It announces each job here before it looks for this."""
        self._put(index, _HALT, token)

    def is_halted(self, index: int, token: UUID) -> bool:
        return self._holds(index, _HALT, token)

    def forget_job(self, index: int) -> None:
        """How far the lease came is still to be read; that its current job is over is known."""
        at = self._at(index) + _JOB
        self._memory[at : at + 16] = _ZERO

    def forget_limit(self, index: int) -> None:
        at = self._at(index) + _LIMIT
        self._memory[at : at + 8] = bytes(8)

    def clear(self, index: int) -> None:
        at = self._at(index)
        self._memory[at : at + _SLOT.size] = bytes(_SLOT.size)

    def begun(self, token: UUID) -> int | None:
        """How many jobs of a lease had begun, by whichever child had it last; None when no child shows it."""
        # A second child may show it too for a moment, with 0: it got the message twice and can't win.
        return max((found.begun for _, found in self.carrying() if found.token == token), default=None)

    def for_child(self, number: int) -> int:
        """The slot of the `number`th child process: not the one in which a dead predecessor's lease is to be read."""
        half = self.size // 2
        first, second = number % half, number % half + half
        return second if self._peek(first) is not None and self._peek(second) is None else first

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

    def _peek(self, index: int) -> Running | None:
        token, pid, begun, behind, job, since, started, limit = _SLOT.unpack_from(self._memory, self._at(index))
        if not pid or token == NOBODY.bytes:  # nothing, or half a write of the child's
            return None
        return Running(UUID(bytes=token), pid, begun, UUID(bytes=job), started, limit, behind, since)

    def _put(self, index: int, field: int, value: UUID) -> None:
        at = self._at(index) + field
        self._memory[at : at + 16] = value.bytes

    def _holds(self, index: int, field: int, value: UUID) -> bool:
        at = self._at(index) + field
        return self._memory[at : at + 16] == value.bytes

    def _at(self, index: int) -> int:
        return _HEADER + (index % self.size) * _SIZE
