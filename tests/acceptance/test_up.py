"""`manage.py up` as a newcomer and as an operator meets it: real processes, on a machine of their own."""

import base64
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from tests.support.fleet import free_port
from tests.support.wait import wait_until

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc for processes that were left behind")


@dataclass
class Site:
    home: Path
    environment: dict[str, str]
    port: int = 0
    flower_port: int = 0
    process: "subprocess.Popen[str] | None" = None
    said: list[str] = field(default_factory=list)

    def command(self) -> list[str]:
        ports = ["--port", str(self.port), "--flower-port", str(self.flower_port)]
        return [sys.executable, str(ROOT / "manage.py"), "up", "--workers", "1", *ports]

    def start(self) -> None:
        """Return when it has said that it is ready."""
        self.said = []
        # Its own session, as in a terminal of its own; any directory will do.
        self.process = subprocess.Popen(
            self.command(), cwd="/", env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.strip())
            if "is ready" in line:
                return
        pytest.fail(f"up ended with {self.process.wait()}: {self.said}")

    def get(self, path: str, *, port: int | None = None, user: str = "") -> int:
        request = urllib.request.Request(f"http://127.0.0.1:{port or self.port}{path}")
        if user:
            request.add_header("Authorization", f"Basic {base64.b64encode(user.encode()).decode()}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except OSError:
            return 0

    def pids(self) -> dict[int, str]:
        """All processes of this site, by the home in their environment or on their command line."""
        found = {}
        for directory in Path("/proc").glob("[0-9]*"):
            try:
                text = (directory / "environ").read_bytes() + (directory / "cmdline").read_bytes()
                command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if os.fsencode(self.home) in text and command and int(directory.name) != os.getpid():
                found[int(directory.name)] = command
        return found

    def pid_of(self, part: str) -> int:
        return next((pid for pid, command in self.pids().items() if part in command and "leash" not in command), 0)

    def stop(self) -> float:
        """Seconds until the command had ended."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=30)
        return time.monotonic() - began

    def kill_tree(self) -> None:
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)
        if self.process and self.process.stdout:
            self.process.stdout.close()
            self.process.wait()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    ours = ("DATABASE_URL", "BROKER_URL", "ADMIN_API_TOKEN", "JOBSITE_TESTS", "JOBSITE_PARENT", "DATABASE_POOL")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    home = tmp_path / "home"
    site = Site(home, {**environment, "JOBSITE_HOME": str(home)}, port=free_port(), flower_port=free_port())
    yield site
    site.kill_tree()


def test_up_starts_everything_guards_it_and_stops_without_a_trace(site: Site) -> None:
    site.start()
    password, token = (site.home / "password").read_text().strip(), (site.home / "token").read_text().strip()
    assert [password in line for line in site.said] == [True, False, False]
    assert [token in line for line in site.said] == [False, True, False]
    assert re.search(rf"http://127\.0\.0\.1:{site.port}/ .*http://127\.0\.0\.1:{site.flower_port}/", site.said[-1])
    assert (site.home / "token").stat().st_mode & 0o777 == 0o600
    assert site.get("/api/health") == 200

    # Flower answers nobody without the password.
    wait_until(lambda: site.get("/", port=site.flower_port, user=f"admin:{password}") == 200)
    assert site.get("/", port=site.flower_port) == 401

    # One that dies comes back; so does an engine.
    for part in ("manage.py dispatch", "valkey-server"):
        before = site.pid_of(part)
        os.kill(before, signal.SIGKILL)
        wait_until(lambda part=part, before=before: site.pid_of(part) not in (0, before))

    second = subprocess.run(site.command(), env=site.environment, capture_output=True, text=True)
    assert second.returncode == 1
    assert re.fullmatch(r"Already running here, pid \d+: stop it with .*\n", second.stderr)

    assert site.stop() < 20
    wait_until(lambda: not site.pids())


def test_up_starts_again_after_any_kill_and_leaves_no_orphan(site: Site) -> None:
    site.start()
    first = site.pids()
    assert site.process is not None
    site.process.kill()
    site.process.communicate()
    # At once: it has to wait for what is still stopping.
    site.start()
    assert len(site.said) == 1, "the password and the token are shown only once"
    assert not first.keys() & site.pids().keys()
    site.kill_tree()
    site.start()
    assert site.get("/api/health") == 200
    assert site.stop() < 20
    wait_until(lambda: not site.pids())


def test_up_embeds_nothing_where_a_database_and_a_broker_are_given(site: Site) -> None:
    url = os.environ["DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS given")
        connection.execute("CREATE DATABASE given")
    site.environment |= {"DATABASE_URL": url.replace("/jobsite?", "/given?"), "BROKER_URL": os.environ["BROKER_URL"]}
    site.environment |= {"ADMIN_API_TOKEN": "given-token"}
    site.start()
    assert "API token" not in "".join(site.said)
    assert not (site.home / "postgres").exists()
    assert not site.pid_of("valkey-server")
    assert site.stop() < 20
    wait_until(lambda: not site.pids())
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP DATABASE given WITH (FORCE)")


def test_a_port_in_use_is_one_line_before_anything_starts(site: Site) -> None:
    with socket.create_server(("127.0.0.1", site.port)):
        assert re.fullmatch(r"Cannot listen on 127.0.0.1:\d+: Address already in use.*--port\.\n", refusal(site, 1))
    assert not site.pids()


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("sqlite:///db.sqlite3", "DATABASE_URL names 'sqlite', but Jobsite needs PostgreSQL 15 or newer."),
        ("mysql://u:hunter2@h/x", "DATABASE_URL names 'mysql', but Jobsite needs PostgreSQL 15 or newer."),
    ],
)
def test_an_unsupported_database_is_one_line_from_every_command(site: Site, url: str, line: str) -> None:
    site.environment["DATABASE_URL"] = url
    for command in ("up", "migrate", "check"):
        said = refusal(site, 2, command)
        assert said.startswith(line)
        assert said.count("\n") == 1
        assert "hunter2" not in said


def test_a_database_that_does_not_answer_is_one_line_without_its_password(site: Site) -> None:
    site.environment["DATABASE_URL"] = f"postgresql://user:hunter2@127.0.0.1:{free_port()}/x"
    said = refusal(site, 1)
    assert said.startswith("Cannot use the database of DATABASE_URL: ")
    assert said.count("\n") == 1
    assert "hunter2" not in said


def test_a_command_without_the_embedded_database_says_how_to_start_it(site: Site) -> None:
    said = refusal(site, 2, "migrate")
    assert "Start `python3 manage.py up` (or `python3 manage.py engines`) in another terminal" in said
    assert said.count("\n") == 1


def refusal(site: Site, code: int, command: str = "") -> str:
    arguments = [sys.executable, str(ROOT / "manage.py"), command] if command else site.command()
    ended = subprocess.run(arguments, env=site.environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stderr
