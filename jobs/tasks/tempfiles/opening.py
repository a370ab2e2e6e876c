"""Opening folders without following a symbolic link, not even in the middle of a path."""

import errno
import os
from pathlib import Path

ONLY_FOLDERS = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# On the way only the right to pass is needed, where the system can ask for so little.
PASSING = getattr(os, "O_PATH", os.O_RDONLY) | ONLY_FOLDERS


def opened(path: str) -> int:
    """A descriptor of the folder with that absolute path.

    Each part is opened below the one before: were a part a link, who may write beside it would choose what is cleaned.
    """
    first, *parts = Path(path).parts
    fd = os.open(first, PASSING if parts else os.O_RDONLY | ONLY_FOLDERS)
    for number, name in enumerate(parts, 1):
        above = fd
        try:
            fd = os.open(name, PASSING if number < len(parts) else os.O_RDONLY | ONLY_FOLDERS, dir_fd=above)
        except OSError as error:
            raise _explained(error, str(Path(first, *parts[:number]))) from error
        finally:
            os.close(above)
    return fd


def inner(name: str, above: int) -> int:
    """A descriptor of a folder in another one."""
    return os.open(name, os.O_RDONLY | ONLY_FOLDERS, dir_fd=above)


def mount_of(fd: int) -> tuple[object, ...]:
    """What is the same for all that is mounted together; a bind mount differs by the number in Linux's /proc only."""
    try:
        with open(f"/proc/self/fdinfo/{fd}") as said:
            mount = [line.strip() for line in said if line.startswith("mnt_id:")]
    except OSError:
        mount = []
    return os.fstat(fd).st_dev, *mount


def _explained(error: OSError, path: str) -> OSError:
    if error.errno not in (errno.ELOOP, errno.ENOTDIR):
        return error
    return OSError(
        error.errno, f"{path!r} is a symbolic link or no folder: write the real path of a folder in TEMPFILES_FOLDERS"
    )
