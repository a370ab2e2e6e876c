"""Which processes the site is made of, as a configuration of supervisor, and the remote control of it.

Supervisor starts each again when it dies; what it runs are the commands that also work by hand.
"""

import os
import shlex
import subprocess
import sys
import xmlrpc.client
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from . import leash
from .embedded import BASE_DIR, HOME, make_home, run_dir

# Together below the 20 s in which everything must have stopped: site first, then the engines.
SITE_GRACE, ENGINE_GRACE = 10, 4
CONFIG = HOME / "supervisord.conf"
LOGS = HOME / "logs"
LEASH = Path(leash.__file__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    host: str = "127.0.0.1"
    port: int = 8000
    flower_port: int = 5555
    workers: int = 4
    """Jobs at once."""
    flower: bool = True


def engine_commands(*, postgres: bool, valkey: bool) -> dict[str, list[str]]:
    """The embedded servers that this site needs; none for what DATABASE_URL or BROKER_URL name."""
    names = [name for name, wanted in (("postgres", postgres), ("valkey", valkey)) if wanted]
    return {name: [sys.executable, "-m", "jobsite.embedded", name] for name in names}


def site_commands(options: Options) -> dict[str, list[str]]:
    """What `up` runs beside the engines: by hand the same, `python manage.py dispatch`, `celery -A jobsite worker`."""
    python, celery = [sys.executable], [sys.executable, "-m", "celery", "-A", "jobsite"]
    web = f"-m uvicorn jobsite.asgi:application --host {options.host} --port {options.port} --ws none --lifespan off"
    worker = "--without-gossip --without-mingle -Ofair -n worker@%h --loglevel INFO"
    commands = {
        "web": [*python, *web.split(), "--timeout-graceful-shutdown", "3"],
        "dispatcher": [*python, "manage.py", "dispatch"],
        "worker": [*celery, "worker", f"--concurrency={options.workers}", *worker.split()],
        "beat": [*celery, "beat", "--loglevel", "INFO", "--pidfile=", f"--schedule={HOME / 'beat-schedule'}"],
        "flower": [*celery, "flower", "--address=127.0.0.1", f"--port={options.flower_port}"],
    }
    return {name: command for name, command in commands.items() if name != "flower" or options.flower}


def configuration(engines: Mapping[str, list[str]], site: Mapping[str, list[str]]) -> str:
    sections = [HEADER.format(home=escape(HOME), run=escape(run_dir()), user="user=root" if os.getuid() == 0 else "")]
    for name, command in engines.items():
        stop = {"postgres": "INT"}.get(name, "TERM")
        sections.append(program(name, command, autostart="true", priority=1, stop=stop, grace=ENGINE_GRACE))
    for name, command in site.items():
        held = [sys.executable, "-I", "-S", str(LEASH), "KILL", *command]
        sections.append(program(name, held, autostart="false", priority=2, stop="TERM", grace=SITE_GRACE))
    if site:
        # One group stops together, and as a whole before the engines, whose priority is lower.
        sections.append(f"[group:site]\nprograms={','.join(site)}\npriority=2\n")
    return "\n".join(sections)


HEADER = """\
[supervisord]
nodaemon=true
silent=true
logfile={home}/logs/supervisord.log
logfile_maxbytes=5MB
logfile_backups=1
pidfile={home}/supervisord.pid
childlogdir={home}/logs
{user}

[unix_http_server]
file={run}/ctl
chmod=0600

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""


def program(name: str, command: list[str], *, autostart: str, priority: int, stop: str, grace: int) -> str:
    return (
        f"[program:{name}]\n"
        f"command={escape(shlex.join(command))}\n"
        f"directory={escape(BASE_DIR)}\n"
        f"stdout_logfile={escape(LOGS / name)}.log\n"
        "redirect_stderr=true\nstdout_logfile_maxbytes=10MB\nstdout_logfile_backups=3\n"
        f"autostart={autostart}\nautorestart=true\nstartsecs=1\nstartretries=3\n"
        f"priority={priority}\nstopsignal={stop}\nstopwaitsecs={grace}\nkillasgroup=true\n"
    )


def escape(value: object) -> str:
    # '%' starts an expansion in supervisor's files; ' ;' starts a comment.
    return str(value).replace("%", "%%").replace(" ;", "\\ ;")


def launch(text: str, *, lock: int, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Start supervisor with that configuration. It shares `lock`, and stops everything when this process dies."""
    LOGS.mkdir(mode=0o700, exist_ok=True)
    (make_home() / CONFIG.name).write_text(text)
    supervisor = [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(CONFIG)]
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(LEASH), "TERM", *supervisor],
        cwd=BASE_DIR,
        env={**environment, leash.PARENT: str(os.getpid()), "JOBSITE_HOME": str(HOME), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        pass_fds=[lock],
        # Ctrl-C goes to all of the terminal's processes; only this one may act on it.
        start_new_session=True,
    )


def control() -> Any:
    """Supervisor's own interface, over its private socket; a fresh one per call, as a broken one stays broken."""
    transport = SupervisorTransport(None, None, serverurl=f"unix://{run_dir()}/ctl")
    return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport, allow_none=True).supervisor


def states() -> dict[str, str]:
    """Name → state of each process (RUNNING, STARTING, BACKOFF, FATAL, …)."""
    try:
        return {row["name"]: row["statename"] for row in control().getAllProcessInfo()}
    except (OSError, xmlrpc.client.Error):
        return {}


def last_line(name: str) -> str:
    """The last thing that process said; a traceback ends in its reason."""
    log = LOGS / f"{name}.log"
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return next((line.strip() for line in reversed(lines[-50:]) if line.strip()), "nothing")
