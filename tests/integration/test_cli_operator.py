"""`manage.py jobs`: an operator's verbs, over one job and over a filter."""

import json
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from jobs.models import AuditEntry, Job
from tests.integration.test_cli_jobs import jobs
from tests.support.rows import make_job

pytestmark = pytest.mark.django_db
ADD = "tests.support.tasks.add"


def states() -> list[str]:
    return list(Job.objects.order_by("created_at").values_list("state", flat=True))


def test_a_dry_run_counts_and_changes_nothing():
    for queue in ("mail", "mail", "other"):
        make_job(state="dead_letter", queue=queue)
    code, out, _ = jobs("retry", "--queue", "mail", "--state", "dead_letter", "--dry-run")
    assert (code, out) == (0, "2 would be requeued: 2 dead_letter. Nothing was changed.\n")
    assert states() == ["dead_letter"] * 3
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "before", "after", "says"),
    [
        (("retry", "--state", "dead_letter"), "dead_letter", "pending", "1 requeued."),
        (("cancel", "--task", ADD), "pending", "cancelled", "1 cancelled, or asked to stop."),
        (("set-state", "--to", "failed", "--queue", "default"), "dead_letter", "failed", "1 dismissed."),
        (("set-state", "--to", "dead_letter", "--all"), "failed", "dead_letter", "1 made dead letters."),
        (("purge", "--tag", "a=b"), "completed", None, "1 deleted."),
        (("purge", "--reference", "shop.order:7"), "completed", None, "1 deleted."),
        (("retry", "--error", "SMTP", "--created-after", "2020-01-01"), "failed", "pending", "1 requeued."),
    ],
)
def test_a_verb_moves_all_that_match_and_names_itself_in_the_audit_log(arguments, before, after, says):
    make_job(state=before, tags={"a": "b"}, reference_type="shop.order", reference_id="7", error="SMTP is down")
    code, out, _ = jobs(*arguments, "--reason", "a new server")
    assert (code, out.strip()) == (0, says)
    assert states() == ([after] if after else [])
    entry = AuditEntry.objects.get(resource_type="jobs")
    assert (entry.actor, entry.detail["reason"]) == (f"manage.py jobs {arguments[0]}", "a new server")


def test_retry_at_a_rate_schedules():
    for _ in range(3):
        make_job(state="dead_letter")
    jobs("retry", "--all", "--per-second", "1")
    assert sorted(states()) == ["pending", "scheduled", "scheduled"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("cancel",), "This would cancel every job"),
        (("purge", "--state", "pending"), "pending jobs can't be moved by 'purge'"),
        (("set-state", "--to", "running", "--all"), "No operator can make a job 'running'"),
        (("retry", "--all", "--args", "[1]"), "--args and --kwargs change one job"),
        (("retry", "--all", "--per-second", "0"), "expected 0.001"),
    ],
)
def test_a_request_that_is_refused_ends_with_2(arguments, says):
    make_job(state="dead_letter")
    code, _, err = jobs(*arguments)
    assert code == 2
    assert says in err
    assert states() == ["dead_letter"]


def test_one_job_or_many_but_not_both():
    job_id = make_job(state="completed")
    code, _, err = jobs("purge", job_id, "--queue", "default")
    assert (code, states()) == (2, ["completed"])
    assert "not both" in err


def test_retry_takes_new_arguments_checked_like_a_call_and_keeps_the_old_in_the_audit_log():
    job_id = make_job(state="dead_letter", task=ADD, args=[1, "two"])
    code, _, err = jobs("retry", job_id, "--args", "[1]")
    assert (code, states()) == (2, ["dead_letter"])
    assert "missing a required argument: 'y'" in err
    assert jobs("retry", job_id, "--args", "[1, 2]", "--reason", "a typo")[0] == 0
    job = Job.objects.get()
    assert (job.state, json.loads(job.args), job.kwargs, job.epoch) == ("pending", [1, 2], "{}", 2)
    assert AuditEntry.objects.get().detail == {"reason": "a typo", "args": {"from": '[1, "two"]', "to": "[1, 2]"}}


def test_boost_raises_one_job_or_many():
    job_id, other = make_job(priority=10), make_job(priority=0, queue="mail")
    assert jobs("boost", job_id, 50)[:2] == (0, "1 boosted.\n")
    assert jobs("boost", "5", "--queue", "mail")[:2] == (0, "1 boosted.\n")
    assert [Job.objects.get(pk=id_).priority for id_ in (job_id, other)] == [60, 5]
    code, _, err = jobs("boost", make_job(state="completed"), 5)
    assert code == 4
    assert "is completed: nothing to boost" in err


def test_explain_and_show_say_why_it_does_not_run():
    job_id = make_job()
    said = jobs("explain", job_id)[1]
    assert said.splitlines()[0] == (
        "No dispatcher is at work. Start `python3 manage.py dispatch` or `python3 manage.py up`."
    )
    assert [reason["code"] for reason in json.loads(jobs("show", job_id)[1])["reasons"]] == [
        "no_dispatcher",
        "no_worker",
    ]
    assert jobs("explain", uuid4())[0] == 3


@pytest.mark.parametrize("arguments", [("--tag", "x"), ("--created-after", "soon"), ("--state", "gone")])
def test_a_filter_that_can_not_be_read_is_a_usage_error(arguments):
    with pytest.raises(CommandError, match=f"argument {arguments[0]}"):
        call_command("jobs", "cancel", *arguments)


def test_set_priority_moves_one_job_or_many():
    job_id, other = make_job(), make_job(queue="mail")
    assert jobs("set-priority", job_id, "critical", "--reason", "VIP")[:2] == (0, "1 given their priority.\n")
    assert jobs("set-priority", "-5", "--queue", "mail")[:2] == (0, "1 given their priority.\n")
    assert [Job.objects.get(pk=id_).priority for id_ in (job_id, other)] == [30, -5]
    entry = AuditEntry.objects.get(resource_type="job", resource_id=str(job_id))
    assert (entry.actor, entry.action) == ("manage.py jobs set-priority", "set_priority")
    assert entry.detail == {"reason": "VIP", "priority": {"from": 10, "to": 30}}


@pytest.mark.parametrize("priority", ["101", "urgent"])
def test_a_priority_that_is_none_changes_nothing(priority):
    job_id = make_job()
    code, _, err = jobs("set-priority", job_id, priority)
    assert code == 2
    assert "is not known; expected -100 to 100 or one of low, normal, high, critical" in err
    assert Job.objects.get().priority == 10
