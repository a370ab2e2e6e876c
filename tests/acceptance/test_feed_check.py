"""The main job on real input: a feed on a real server, through dispatcher, broker and worker, from the command line."""

import json
import subprocess
import sys

import pytest

from jobs.models import FeedEntry, Job
from tests.support import feed_server as behave
from tests.support.feed_samples import ATOM, RSS2
from tests.support.fleet import ROOT, Fleet


@pytest.fixture
def server():
    with behave.feed_server() as running:
        yield running


@pytest.fixture
def working(fleet: Fleet) -> Fleet:
    fleet.environment["FEEDS_TIMEOUT"] = "2"
    fleet.dispatcher()
    fleet.worker()
    return fleet


def run(fleet: Fleet, url: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "manage.py", "jobs", "run", "feeds.check", "--kwargs", json.dumps({"url": url})],
        cwd=ROOT,
        env=fleet.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_feed_is_read_from_the_command_line_and_its_entries_are_kept_once(working: Fleet, server) -> None:
    url = server.serve("/feed", behave.ok(ATOM))
    first, second = run(working, url), run(working, url)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert json.loads(first.stdout)["new"] == FeedEntry.objects.count() > 0
    assert json.loads(second.stdout)["new"] == 0
    assert [job.progress["current"] for job in Job.objects.all()] == [
        job.progress["total"] for job in Job.objects.all()
    ]


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (behave.status(404), "404"),
        (behave.ok(RSS2[: len(RSS2) // 2]), "XML"),
        (behave.drip_body(0.1), "2 s"),
        (behave.large(announced=True), "larger than 10,485,760 bytes"),
    ],
    ids=["404", "bad xml", "time-out", "50 MB"],
)
def test_what_goes_wrong_ends_as_a_failed_job_with_a_clear_error(working: Fleet, server, behaviour, said) -> None:
    ended = run(working, server.serve("/feed", behaviour))
    assert ended.returncode == 1
    job = Job.objects.get()
    assert (job.state, job.attempt) == ("failed", 1)
    assert job.error.startswith("FeedError: ")
    assert said in job.error
    assert job.error.splitlines()[0] in ended.stderr
