"""A worker's process that is killed at the very moment of a task's commit: one effect, one completion."""

from pathlib import Path

import pytest
from celery import chain
from django.contrib.auth.models import User

from jobs.engine.newjob import job_key
from jobs.models import Attempt, Job, Lease
from tests.support.fleet import Fleet
from tests.support.tasks import add, killed_at_commit
from tests.support.wait import wait_until


@pytest.mark.parametrize(
    ("moment", "ends"), [("before", ["lost", "completed"]), ("after", ["completed"])], ids=["before", "after"]
)
def test_a_process_killed_beside_its_commit_leaves_one_effect(fleet: Fleet, tmp_path: Path, moment, ends) -> None:
    last = chain(killed_at_commit.s(str(tmp_path), moment), add.si(1, 2))()
    first = job_key(last.parent.id)
    fleet.worker(slots=1)
    fleet.dispatcher()
    wait_until(lambda: Job.objects.filter(pk=job_key(last.id), state="completed").exists(), what="the next step's end")
    wait_until(lambda: not Lease.objects.exists(), what="the killed process' lease to be taken back")
    assert list(Attempt.objects.filter(job_id=first).order_by("number").values_list("end", flat=True)) == ends
    assert Job.objects.get(pk=first).state == "completed"
    assert (User.objects.count(), Job.objects.count(), Job.objects.get(pk=job_key(last.id)).attempt) == (1, 2, 1)
    assert len((tmp_path / "runs").read_text().split()) == len(ends), "it ran as often as its attempts say"
