"""The embedded PostgreSQL and Valkey: where their files are, their addresses, and the secrets beside them.

Standard library only: settings read it, and `python -m jobsite.embedded postgres|valkey` must not need Django.
That command becomes the server, in the foreground.
"""

import hashlib
import os
import re
import secrets
import stat
import sys
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
HOME = Path(os.environ.get("JOBSITE_HOME") or BASE_DIR / ".jobsite").expanduser().absolute()

# A socket's path has 107 bytes on Linux and 103 elsewhere; the longest name below the directory has 17.
LONGEST_RUN_DIR = 86


class EngineError(SystemExit):
    """One line for a person: ends whichever command runs into it with that line on stderr and exit code 1."""


def secret(name: str) -> str:
    """The secret of that name, made at its first use; all processes that race for it get the same one."""
    if not (known := read(name)):
        draft = make_home() / f"{name}.{secrets.token_hex(8)}"
        with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(24) + "\n")
        try:
            # link, unlike rename, refuses to replace: the first writer wins, and nobody reads half a file.
            os.link(draft, HOME / name)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        known = read(name)
    return known


def read(name: str) -> str:
    """The secret of that name, or an empty string if nothing has made one."""
    try:
        return (HOME / name).read_text().strip()
    except FileNotFoundError:
        return ""
    except PermissionError:
        raise belongs_to_another(HOME / name) from None


def make_home() -> Path:
    try:
        HOME.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EngineError(f"Cannot make {HOME}: {error.strerror}. Set JOBSITE_HOME to a directory of yours.") from None
    if not os.access(HOME, os.W_OK | os.X_OK):
        raise belongs_to_another(HOME)
    return HOME


def belongs_to_another(path: Path) -> EngineError:
    return EngineError(
        f"{path} belongs to another user (uid {HOME.stat().st_uid}). "
        "Start this as that user, or set JOBSITE_HOME to a directory of yours."
    )


def run_dir() -> Path:
    """The directory of the sockets: HOME/run, or one in /tmp where HOME is too long or too odd for a socket's URL."""
    path = os.fsencode(HOME / "run")
    if len(path) <= LONGEST_RUN_DIR and re.fullmatch(rb"[\w/.-]+", path):
        return HOME / "run"
    return Path(f"/tmp/jobsite-{os.getuid()}-{hashlib.sha256(os.fsencode(HOME)).hexdigest()[:8]}")


def make_run_dir() -> Path:
    make_home()
    path = run_dir()
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    # In /tmp somebody else may have been there first, and would then own our sockets.
    if (
        not stat.S_ISDIR(found.st_mode)
        or found.st_uid not in (os.getuid(), HOME.stat().st_uid)
        or found.st_mode & 0o022
    ):
        raise EngineError(f"{path} is not a private directory of this user. Remove it, and start this again.")
    return path


def database_url() -> str:
    return f"postgresql://jobsite@/jobsite?host={run_dir()}/pg"


def broker_url() -> str:
    return f"redis+socket://{run_dir()}/valkey?virtual_host=0"


def flower_defaults() -> None:
    """Flower started by hand is as private as `up` makes it: this machine only, behind the generated password."""
    os.environ.setdefault("FLOWER_ADDRESS", "127.0.0.1")
    if "FLOWER_BASIC_AUTH" not in os.environ:
        os.environ["FLOWER_BASIC_AUTH"] = f"admin:{secret('password')}"


def main(engine: str, *options: str) -> None:
    from jobsite import postgres, valkey  # they import this module

    serve = {"postgres": postgres.serve, "valkey": valkey.serve}.get(engine)
    if serve is None:
        raise EngineError(f"Unknown engine {engine!r}: python -m jobsite.embedded postgres or valkey.")
    serve(throwaway="--throwaway" in options)


if __name__ == "__main__":
    main(*(sys.argv[1:] or [""]))
