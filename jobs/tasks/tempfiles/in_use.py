"""Whether somebody still uses a file or a folder, as far as the system tells."""

import fcntl
import os
import signal


def is_locked(fd: int) -> bool:
    """Whether somebody else has locked it with flock; if not, it is locked until `fd` is closed."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        # A network file system may lock only what is open for writing, or nothing.
        return False
    return False


def is_open_elsewhere(fd: int) -> bool:
    """Whether another descriptor is open on this file, here or in another process.

    Linux grants a write lease only if there is none. Elsewhere, and on the files of others, who can't be asked about,
    this says no.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    try:
        # Who opens the file meanwhile waits for the lease to go, and this process gets a signal: SIGIO would end it.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def opened_to_ask(name: str, above: int) -> int:
    """A descriptor of a file, to ask the above; a pipe that took its place meanwhile does not block."""
    return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=above)
