"""Let a process end with its parent, even when the parent is killed: `python leash.py TERM command…`.

Linux only; elsewhere the command runs without it. Standard library only, and started by path: it runs at each start.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PARENT = "JOBSITE_PARENT"


def fasten(signum: signal.Signals) -> None:
    """Ask the kernel for that signal when the parent ends. Forgotten at fork and at a change of user, kept by exec."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signum), 0, 0, 0)
    # The parent may have ended before the call.
    if (parent := os.environ.get(PARENT)) and int(parent) != os.getppid():
        sys.exit(0)


def main(name: str, *command: str) -> None:
    fasten(signal.Signals[f"SIG{name}"])
    os.environ[PARENT] = str(os.getpid())
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
