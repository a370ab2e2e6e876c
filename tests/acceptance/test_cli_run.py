"""`manage.py jobs run` as an operator meets it: real processes from the call to the result."""

import json
import signal
import subprocess
import sys

from jobs.models import Job
from tests.support.fleet import ROOT, Fleet


def run(fleet: Fleet, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", "jobs", "run", *arguments]
    return subprocess.run(command, cwd=ROOT, env=fleet.environment, capture_output=True, text=True, timeout=60)


def test_a_result_arrives_on_standard_output(fleet):
    fleet.dispatcher()
    fleet.worker()
    ended = run(fleet, "tests.support.tasks.add", "--args", "[1, 2]")
    assert (ended.returncode, ended.stdout) == (0, "3\n"), ended.stderr
    assert "completed after 1 attempt" in ended.stderr


def test_a_failure_is_retried_in_sight_and_ends_with_1(fleet):
    fleet.environment["JOBS_DEFAULT_MAX_RETRIES"] = "1"
    fleet.dispatcher()
    fleet.worker()
    ended = run(fleet, "tests.support.tasks.fail", "--kwargs", json.dumps({"message": "no chance"}))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "attempt 1 on worker@" in ended.stderr
    assert "attempt 2 on worker@" in ended.stderr
    assert "The job is dead_letter: ValueError: no chance" in ended.stderr


def test_ctrl_c_while_nobody_works_leaves_the_job(fleet):
    command = [sys.executable, "manage.py", "jobs", "run", "tests.support.tasks.noop"]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=fleet.environment,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background of a shell, Ctrl-C is ignored by all that they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    with process.stderr as said:
        assert any("no dispatcher is running" in line for line in iter(said.readline, ""))
        process.send_signal(signal.SIGINT)
        rest = said.read()
    assert process.wait(10) == 130
    assert "Interrupted; the job goes on" in rest
    assert Job.objects.get().state == "pending"
