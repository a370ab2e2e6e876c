"""Failpoints do what they are armed with once, and nothing unless a directory is named."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.engine.failpoints import PLACES, arm, failpoint, was_hit
from tests.support.fleet import ROOT

PASS_FIVE_TIMES = """
import django; django.setup()
from jobs.engine.failpoints import failpoint
for n in range(1, 6):
    print(n, flush=True)
    failpoint("K3")
"""
CUT = """
import socket
import django; django.setup()
from jobs.engine.failpoints import failpoint
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
left, right = socket.socketpair()
failpoint("K3")
left.send(b"own")
print(client.recv(1), right.recv(3))
"""


def passes(folder: Path, code: str = PASS_FIVE_TIMES) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "JOBS_FAILPOINTS": str(folder)}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, start_new_session=True)


def test_a_place_kills_the_process_that_comes_by_for_the_nth_time_and_only_once(tmp_path: Path) -> None:
    arm(tmp_path, "K3", "kill@3")
    first, second = passes(tmp_path), passes(tmp_path)
    assert (first.returncode, first.stdout.split()) == (-signal.SIGKILL, ["1", "2", "3"])
    assert was_hit(tmp_path, "K3").exists()
    assert (second.returncode, second.stdout.split()) == (0, ["1", "2", "3", "4", "5"])


def test_a_stopped_process_goes_on_by_itself(tmp_path: Path) -> None:
    arm(tmp_path, "K3", "stop:0.2")
    assert passes(tmp_path).stdout.split() == ["1", "2", "3", "4", "5"]
    assert was_hit(tmp_path, "K3").exists()


@pytest.mark.parametrize(("action", "said"), [("raise", "Failpoint"), ("lost", "OperationalError")])
def test_a_place_raises(action: str, said: str, tmp_path: Path) -> None:
    arm(tmp_path, "K3", action)
    assert said in passes(tmp_path).stderr


def test_what_leads_to_a_server_is_cut_and_no_pair_of_a_process_with_itself(tmp_path: Path) -> None:
    arm(tmp_path, "K3", "cutbroker")
    assert passes(tmp_path, CUT).stdout.split() == ["b''", "b'own'"]


def test_what_is_not_known_can_not_be_armed(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="K99"):
        arm(tmp_path, "K99", "kill")
    with pytest.raises(KeyError, match="explode"):
        arm(tmp_path, "K3", "explode")
    assert list(tmp_path.iterdir()) == []


def test_nothing_happens_where_no_directory_is_named(tmp_path: Path) -> None:
    arm(tmp_path, "K3", "kill")
    failpoint("K3")
    assert not was_hit(tmp_path, "K3").exists()


def test_every_place_is_passed_somewhere() -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "jobs").rglob("*.py"))
    absent = [place for place in PLACES if f'failpoint("{place}")' not in code]
    assert absent == ["K3"], "K3 is for tasks"
