"""`manage.py jobs pause`, `resume`, `pauses` and `postpone`."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from jobs.models import AuditEntry, Job, Pause, Queue
from tests.integration.test_cli_jobs import jobs
from tests.support.rows import make_job

pytestmark = pytest.mark.django_db


def test_pausing_says_how_many_jobs_wait_and_resuming_that_they_go_on():
    for _ in range(2):
        make_job(task="shop.bill", tags={"shop": "berlin"})
    make_job(tags={"shop": "bonn"})
    code, out, _ = jobs("pause", "task", "shop.bill", "--reason", "SMTP is down", "--until", "2h")
    assert code == 0
    assert out.startswith("task shop.bill is paused until ")
    assert "2 of its jobs wait now. Jobs that workers have are finished." in out
    pause = Pause.objects.get()
    assert (pause.reason, pause.paused_by) == ("SMTP is down", "manage.py jobs pause")
    assert timedelta(minutes=119) < pause.until - timezone.now() <= timedelta(hours=2)
    assert "2 of its jobs wait now" in jobs("pause", "tag", "shop=berlin")[1]
    assert "set aside as their turn comes" in jobs("pause", "key", "order:1")[1]
    lines = jobs("pauses")[1].splitlines()
    assert lines[0].startswith("task shop.bill, since ")
    assert lines[0].endswith("by manage.py jobs pause: SMTP is down")
    assert [line.partition(",")[0] for line in lines[1:]] == ["tag shop=berlin", "key order:1"]
    assert jobs("resume", "task", "shop.bill")[:2] == (0, "task shop.bill goes on.\n")
    assert Pause.objects.count() == 2


def test_a_queue_is_paused_by_its_name():
    Queue.objects.create(name="mail")
    make_job(queue="mail")
    assert "1 of its jobs wait now" in jobs("pause", "queue", "mail", "--reason", "x")[1]
    assert jobs("pauses")[1].startswith("queue mail, since ")
    code, _, err = jobs("pause", "queue", "mial")
    assert (code, "known are: mail" in err) == (2, True)


def test_what_is_not_paused_is_not_resumed():
    code, _, err = jobs("resume", "task", "shop.bill")
    assert (code, err) == (4, "task shop.bill is not paused: see `python3 manage.py jobs pauses`.\n")
    assert jobs("pauses")[1] == "Nothing is paused.\n"
    assert not AuditEntry.objects.exists()


def test_one_job_or_many_start_at_another_time():
    job_id, other = make_job(), make_job(queue="mail", state="retrying")
    assert jobs("postpone", job_id, "2h", "--reason", "later")[:2] == (0, "1 given their time to start.\n")
    assert jobs("postpone", "0s", "--queue", "mail")[:2] == (0, "1 given their time to start.\n")
    job, retry = (Job.objects.get(pk=id_) for id_ in (job_id, other))
    assert (job.state, retry.state) == ("scheduled", "retrying")
    assert timedelta(minutes=119) < job.run_at - timezone.now() <= timedelta(hours=2)
    entry = AuditEntry.objects.get(resource_type="job", resource_id=str(job_id))
    assert (entry.actor, entry.action, entry.detail["reason"]) == ("manage.py jobs postpone", "postpone", "later")
    code, _, err = jobs("postpone", make_job(state="completed"), "2026-12-01")
    assert (code, "is completed: nothing to postpone" in err) == (4, True)


@pytest.mark.parametrize("when", ["soon", "5", "-5m", "9" * 20 + "d"])
def test_a_time_that_can_not_be_read_is_a_usage_error(when):
    with pytest.raises(CommandError, match="argument WHEN"):
        call_command("jobs", "postpone", "--all", "--", when)


def test_a_time_beyond_the_calendar_is_refused():
    code, _, err = jobs("postpone", make_job(), "999999999d")
    assert (code, "year" in err) == (2, True)
