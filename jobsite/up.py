"""`manage.py up`: start the whole site, say when it is ready, watch it, and stop it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from types import FrameType, TracebackType

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection
from django.db.utils import OperationalError

from . import embedded, fleet, preflight
from .embedded import HOME, EngineError
from .fleet import Options

ENGINES_TIMEOUT, HEALTH_TIMEOUT, STOP_TIMEOUT = 60, 90, 18
"""Seconds to wait for the database, for health, and for everything to stop before it is killed."""
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
RETRY_FATAL = 30
"""Seconds after which a process that supervisor gave up on is tried again."""


class Stopped(BaseException):
    """Somebody asked this process to stop. Not an Exception: nothing on the way may swallow it."""


@contextlib.contextmanager
def until_stopped() -> Iterator[None]:
    """Ctrl-C, SIGTERM and the end of the terminal end the block quietly, wherever it is."""
    for number in STOP_SIGNALS:
        signal.signal(number, raise_stopped)
    with contextlib.suppress(Stopped):
        yield


def raise_stopped(signum: int, frame: FrameType | None) -> None:
    # Once is enough: a second one must not interrupt the stopping.
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise Stopped


def up(options: Options) -> None:
    """Run engines and site until stopped."""
    own_database, own_broker = bool(os.environ.get("DATABASE_URL")), bool(os.environ.get("BROKER_URL"))
    lock = preflight.lock_home()
    check(options, own_database, own_broker)
    token = "" if os.environ.get("ADMIN_API_TOKEN") else embedded.secret("token")
    engines = fleet.engine_commands(postgres=not own_database, valkey=not own_broker)
    with Fleet(fleet.configuration(engines, fleet.site_commands(options)), lock, site_environment(options)) as site:
        site.wait("the database", database_answers, ENGINES_TIMEOUT)
        call_command("migrate", verbosity=0)
        password = make_admin()
        connection.close()
        fleet.control().startProcessGroup("site", False)
        site.wait("the site", lambda: health_is_ok(options), HEALTH_TIMEOUT)
        announce(options, password=password, token=token)
        site.watch()


def engines() -> None:
    """Run the embedded servers only, for those who start each other process by hand."""
    lock = preflight.lock_home()
    commands = fleet.engine_commands(
        postgres=not os.environ.get("DATABASE_URL"), valkey=not os.environ.get("BROKER_URL")
    )
    if not commands:
        raise EngineError(
            "DATABASE_URL and BROKER_URL are set, so there is nothing to run. Unset what you want embedded."
        )
    with Fleet(fleet.configuration(commands, {}), lock, os.environ) as servers:
        if "postgres" in commands:
            servers.wait("the database", database_answers, ENGINES_TIMEOUT)
        say(f"Running: {', '.join(commands)} in {HOME}. Ctrl-C stops.")
        servers.watch()


class Fleet:
    """Supervisor and all it runs, for the length of a `with`; leaves no process behind."""

    def __init__(self, configuration: str, lock: int, environment: Mapping[str, str]) -> None:
        self.configuration, self.lock, self.environment = configuration, lock, environment

    def __enter__(self) -> "Fleet":
        embedded.make_run_dir()
        self.process: subprocess.Popen[bytes] = fleet.launch(
            self.configuration, lock=self.lock, environment=self.environment
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is Stopped:
            say("Stopping…")
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            # Its children are on a leash and go with it.
            self.process.kill()
            self.process.wait()

    def wait(self, what: str, ready: Callable[[], bool], timeout: float) -> None:
        """Return when `ready()`; give up at once when a process can't start."""
        deadline = time.monotonic() + timeout
        while not ready():
            self.require_supervisor()
            states = fleet.states()
            for name in (name for name, state in states.items() if state == "FATAL"):
                raise EngineError(f"Cannot start {name}: {fleet.last_line(name)} (log: {fleet.LOGS / name}.log)")
            if time.monotonic() > deadline:
                found = ", ".join(f"{name} {state.lower()}" for name, state in states.items())
                raise EngineError(f"After {timeout:.0f} s {what} does not answer ({found}). Look into {fleet.LOGS}.")
            time.sleep(0.1)

    def watch(self) -> None:
        """Say what changes, and try again what supervisor gave up on, until stopped."""
        before, given_up = fleet.states(), dict[str, float]()
        while True:
            time.sleep(1)
            self.require_supervisor()
            now = fleet.states()
            for name, state in now.items():
                if state != before.get(name) and state in ("BACKOFF", "FATAL", "EXITED"):
                    say(f"{name} stopped: {fleet.last_line(name)} (starting it again; log: {fleet.LOGS / name}.log)")
                if state == "FATAL" and time.monotonic() > given_up.setdefault(name, time.monotonic()) + RETRY_FATAL:
                    del given_up[name]
                    restart(name)
            before = now or before

    def require_supervisor(self) -> None:
        if (code := self.process.poll()) is not None:
            raise EngineError(f"The process runner ended with exit code {code} (log: {fleet.LOGS}/supervisord.log)")


def restart(name: str) -> None:
    group = name if name in ("postgres", "valkey") else "site"
    fleet.control().startProcess(f"{group}:{name}", False)


def check(options: Options, own_database: bool, own_broker: bool) -> None:
    preflight.check_port(options.host, options.port, option="--port")
    if options.flower:
        preflight.check_port("127.0.0.1", options.flower_port, option="--flower-port")
    if own_database:
        preflight.check_database()
    if own_broker:
        preflight.check_broker()


def site_environment(options: Options) -> dict[str, str]:
    flower = f"http://127.0.0.1:{options.flower_port}/" if options.flower else ""
    # Everything stops within 20 s, so the worker gives back what it can't end within less.
    defaults = {"FLOWER_URL": flower, "JOBS_SHUTDOWN_GRACE": "6"}
    return {**defaults, **os.environ, "FLOWER_PORT": str(options.flower_port)}


def database_answers() -> bool:
    try:
        connection.ensure_connection()
    except OperationalError:
        return False
    return True


def make_admin() -> str:
    """The first superuser, if there is none. Returns admin's password while it is the generated one."""
    users = get_user_model()._default_manager
    if not users.filter(is_superuser=True).exists():
        users.create_superuser("admin", "admin@localhost", embedded.secret("password"))
    admin, password = users.filter(username="admin").first(), embedded.read("password")
    return password if admin and password and admin.check_password(password) else ""


def health_is_ok(options: Options) -> bool:
    try:
        with urllib.request.urlopen(f"{address(options)}api/health", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def address(options: Options) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(options.host, options.host)
    return f"http://{host}:{options.port}/"


def announce(options: Options, *, password: str, token: str) -> None:
    # Shown once, and by the first start that gets this far: a mark says so, not the files, which are made earlier.
    if not (shown := HOME / "shown").exists():
        if password:
            say(f"First start. Sign in as admin with the password {password} (kept in {HOME}/password)")
        if token:
            say(f"API token: {token} (kept in {HOME}/token)")
        shown.touch(mode=0o600)
    web, flower = address(options), f"; Flower: http://127.0.0.1:{options.flower_port}/" if options.flower else ""
    say(f"Jobsite is ready: {web} (admin: {web}admin/{flower}; logs: {fleet.LOGS}). Ctrl-C stops it.")


def say(line: str) -> None:
    print(line, file=sys.stdout, flush=True)
