"""Walking a folder that others write to meanwhile, and removing what is old.

Everything is named by a descriptor of its folder and one name, never by a path: what is put in the place of something
seen before is not it, and a link leads nowhere.
"""

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass

from . import in_use, opening
from .tally import Tally

DEEPEST = 64
"""Folders in one another; each takes two descriptors."""
EVERY = 100
"""Names between two reports."""

Report = Callable[[Tally], None]


@dataclass(frozen=True, slots=True)
class Level:
    """An open folder, the one it is in, and how messages call it."""

    fd: int
    path: str
    mount: tuple[object, ...]
    above: "Level | None" = None
    depth: int = 0

    def is_in_place(self) -> bool:
        """Whether it is still where the walk came from: a folder moved elsewhere is not temporary any more."""
        level = self
        while level.above is not None:
            if not os.path.samestat(os.stat("..", dir_fd=level.fd), os.fstat(level.above.fd)):
                return False
            level = level.above
        return True


class Sweep:
    """Removes what has not changed since `before`, in seconds since 1970; a dry run only counts it."""

    def __init__(self, *, before: float, dry_run: bool, report: Report) -> None:
        self.tally = Tally()
        self._before = before
        self._dry_run = dry_run
        self._report = report

    def clean(self, folder: str) -> None:
        """What is in it; the folder itself stays."""
        try:
            fd = opening.opened(folder)
        except FileNotFoundError:
            self.tally.missing.append(folder)
            return
        except OSError as error:
            self.tally.fail(folder, error)
            return
        try:
            self._empty(Level(fd, folder, opening.mount_of(fd)))
        except OSError as error:
            self.tally.fail(folder, error)
        finally:
            os.close(fd)

    def _empty(self, level: Level) -> bool:
        """Remove what is old in it; whether nothing is left."""
        if in_use.is_locked(level.fd):
            self.tally.keep("in use")
            return False
        is_empty = True
        with os.scandir(level.fd) as entries:
            for entry in entries:
                is_empty = self._is_gone(level, entry.name) and is_empty
        return is_empty

    def _is_gone(self, level: Level, name: str) -> bool:
        self.tally.seen += 1
        if self.tally.seen % EVERY == 0:
            self._report(self.tally)
        try:
            found = os.stat(name, dir_fd=level.fd, follow_symlinks=False)
            remove = self._folder if stat.S_ISDIR(found.st_mode) else self._file
            reason = remove(level, name, found)
        except FileNotFoundError:
            self.tally.keep("vanished")
            return True
        except OSError as error:
            self.tally.fail(os.path.join(level.path, name), error)
            return False
        if reason:
            self.tally.keep(reason)
        return not reason

    def _folder(self, level: Level, name: str, found: os.stat_result) -> str | None:
        """Remove a folder if all in it could go; why it is kept, if it is."""
        if level.depth >= DEEPEST:
            return "too deep"
        fd = opening.inner(name, level.fd)
        try:
            if not _is_same(os.fstat(fd), found):
                return "replaced"
            if opening.mount_of(fd) != level.mount:
                return "mounted"
            path = os.path.join(level.path, name)
            if not self._empty(Level(fd, path, level.mount, level, level.depth + 1)):
                return "not empty"
            return self._empty_removed(level, name, found)
        finally:
            os.close(fd)

    def _empty_removed(self, level: Level, name: str, found: os.stat_result) -> str | None:
        # As it was before the walk, which has changed it by what it removed.
        if not self._is_old(found):
            return "young"
        try:
            kept = self._removed(os.rmdir, level, name, found)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return "not empty"
        self.tally.folders += not kept
        return kept

    def _file(self, level: Level, name: str, found: os.stat_result) -> str | None:
        """Remove a file or a link; why it is kept, if it is."""
        if not self._is_old(found):
            return "young"
        if stat.S_ISLNK(found.st_mode):
            kept = self._removed(os.unlink, level, name, found)
        elif stat.S_ISREG(found.st_mode):
            kept = self._unused_removed(level, name, found)
        else:
            kept = "socket, pipe or device"
        if not kept:
            self.tally.file_removed(found)
        return kept

    def _unused_removed(self, level: Level, name: str, found: os.stat_result) -> str | None:
        fd = in_use.opened_to_ask(name, level.fd)
        try:
            if in_use.is_locked(fd) or in_use.is_open_elsewhere(fd):
                return "in use"
            return self._removed(os.unlink, level, name, found)
        finally:
            os.close(fd)

    def _removed(self, remove: Callable[..., None], level: Level, name: str, found: os.stat_result) -> str | None:
        """The last look and the removal; why it is kept, if it is."""
        now = os.stat(name, dir_fd=level.fd, follow_symlinks=False)
        if not _is_same(now, found):
            return "replaced"
        if not stat.S_ISDIR(now.st_mode) and not self._is_old(now):
            return "young"
        if not level.is_in_place():
            return "moved away"
        if not self._dry_run:
            remove(name, dir_fd=level.fd)
        return None

    def _is_old(self, found: os.stat_result) -> bool:
        """By its latest change, of the content or of anything else: what was unpacked or moved here today is young."""
        return max(found.st_mtime, found.st_ctime) < self._before


def _is_same(now: os.stat_result, found: os.stat_result) -> bool:
    """The kind too: the number of what was deleted is given to what is made next."""
    return os.path.samestat(now, found) and stat.S_IFMT(now.st_mode) == stat.S_IFMT(found.st_mode)
