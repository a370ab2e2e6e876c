"""The embedded engines' directory, secrets and addresses, and what is kept from going wrong around them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobsite import database, embedded, fleet, leash, postgres, preflight


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    for module in (embedded, preflight):
        monkeypatch.setattr(module, "HOME", home)
    return home


def test_a_secret_is_made_once_and_only_its_owner_can_read_it(home: Path) -> None:
    assert embedded.read("token") == ""
    made = embedded.secret("token")
    assert len(made) >= 32
    assert embedded.secret("token") == embedded.read("token") == made
    assert (home / "token").stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700


def test_processes_that_race_for_a_secret_get_the_same_one(home: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(lambda _: embedded.secret("token"), range(64)))) == 1
    assert [path.name for path in home.iterdir()] == ["token"]


@pytest.mark.parametrize("name", ["x" * 90, "with space", "100%"])
def test_a_directory_that_no_socket_url_can_hold_gets_a_short_one_of_its_own(
    home: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "HOME", home / name)
    assert str(embedded.run_dir()).startswith(f"/tmp/jobsite-{os.getuid()}-")
    one = embedded.run_dir()
    monkeypatch.setattr(embedded, "HOME", home / f"{name}y")
    assert embedded.run_dir() != one


def test_a_directory_for_sockets_that_others_may_write_to_is_refused(home: Path) -> None:
    embedded.make_home()
    (home / "run").mkdir()
    (home / "run").chmod(0o777)
    with pytest.raises(embedded.EngineError, match="not a private directory of this user"):
        embedded.make_run_dir()


def test_the_embedded_database_url_keeps_the_case_of_its_directory(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "HOME", Path("/srv/JobSite"))
    found = database.parse(embedded.database_url(), pool=False)
    assert found["HOST"] == "/srv/JobSite/run/pg"
    assert (found["USER"], found["NAME"]) == ("jobsite", "jobsite")


@pytest.mark.parametrize(
    "url", ["sqlite:///db.sqlite3", "mysql://user:hunter2@host/db", "nonsense", "postgres://h:port/x"]
)
def test_a_database_that_is_not_postgresql_is_refused_in_one_line_without_its_password(url: str) -> None:
    with pytest.raises(Exception, match="Jobsite needs PostgreSQL 15 or newer") as caught:
        database.parse(url, pool=False)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_flower_by_hand_is_behind_the_password_and_on_this_machine_only(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FLOWER_ADDRESS", "FLOWER_BASIC_AUTH"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    embedded.flower_defaults()
    assert os.environ["FLOWER_ADDRESS"] == "127.0.0.1"
    assert os.environ["FLOWER_BASIC_AUTH"] == f"admin:{embedded.read('password')}"


def test_the_second_start_in_a_directory_says_which_process_is_there(home: Path) -> None:
    file = preflight.lock_home()
    try:
        with pytest.raises(embedded.EngineError, match=f"Already running here, pid {os.getpid()}: stop it with `kill"):
            preflight.lock_home()
    finally:
        os.close(file)


def test_a_port_in_use_is_one_line_that_names_the_option(listener: int) -> None:
    with pytest.raises(embedded.EngineError, match=f":{listener}: Address already in use.*with --port"):
        preflight.check_port("127.0.0.1", listener, option="--port")


def test_a_percent_sign_in_a_path_does_not_break_the_process_runner() -> None:
    assert fleet.escape("/a%b ;c") == "/a%%b\\ ;c"


def test_a_pid_that_now_belongs_to_another_program_does_not_keep_postgresql_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "DATA", tmp_path)
    lock = tmp_path / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\nthe rest\nof it\n")
    # This test's own command line does not hold the data directory.
    postgres.forget_dead_server()
    assert lock.read_text() == f"{postgres.NO_PID}\nthe rest\nof it\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tell a process that its parent ended")
def test_a_process_on_the_leash_ends_with_its_parent() -> None:
    child = f"[sys.executable, {str(leash.__file__)!r}, 'KILL', 'sleep', '60']"
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import subprocess, sys; p = subprocess.Popen({child}); print(p.pid, flush=True); p.wait()",
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name != leash.PARENT},
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    until(lambda: Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep"))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    until(lambda: not is_running(pid))


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def is_running(pid: int) -> bool:
    """An ended process may wait as a zombie for a parent that never asks."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(true: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"still not so after {seconds} s"
        time.sleep(0.02)
