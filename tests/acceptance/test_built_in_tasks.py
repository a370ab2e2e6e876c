"""The built-in tasks of the hour and of the night, through dispatcher, broker and worker."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from jobs.models import DomainHour, Job
from jobs.tasks.blocking import record_fetch
from tests.support.fleet import ROOT, Fleet


def run(fleet: Fleet, task: str, **kwargs: object) -> dict:
    ended = subprocess.run(
        [sys.executable, "manage.py", "jobs", "run", task, "--kwargs", json.dumps(kwargs)],
        cwd=ROOT,
        env=fleet.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_they_run_as_jobs_and_say_what_they_did(fleet: Fleet, tmp_path: Path) -> None:
    cleaned = tmp_path.resolve() / "cleaned"
    cleaned.mkdir()
    (cleaned / "two\nlines").touch()
    fleet.environment.update(TEMPFILES_FOLDERS=str(cleaned), TEMPFILES_HOURS="1e-9")
    fleet.dispatcher()
    fleet.worker()
    for _ in range(5):
        record_fetch("shy.example", "blocked", 403)
    record_fetch("old.example", "succeeded", now=datetime(2020, 1, 1, tzinfo=UTC))
    assert run(fleet, "tempfiles.cleanup", dry_run=True)["removed"]["files"] == len(list(cleaned.iterdir())) == 1
    assert run(fleet, "tempfiles.cleanup")["removed"]["files"] == 1
    assert list(cleaned.iterdir()) == []
    assert [row["domain"] for row in run(fleet, "blocking.check")["worst"]] == ["shy.example"]
    assert run(fleet, "blocking.cleanup")["deleted"] == 1
    assert DomainHour.objects.get().domain == "shy.example"
    assert [job.state for job in Job.objects.all()] == ["completed"] * 4
    assert all(job.progress["message"] for job in Job.objects.all())
