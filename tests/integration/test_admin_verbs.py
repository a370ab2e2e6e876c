"""The admin's verbs over selected jobs and whole lists, its form for new arguments, and its answer to “why not?”."""

import json
from uuid import UUID, uuid4

import pytest
from django.test import Client
from django.urls import reverse

from jobs.models import AuditEntry, Job, Queue
from tests.support.admin import DEAD_LETTERS, JOBS, VIEWER, change_queue, page, signed_in, text
from tests.support.rows import make_job, state_of

pytestmark = pytest.mark.django_db
PERMISSIONS = {
    "requeue_at_rate": "requeue_job",
    "cancel_selected": "cancel_job",
    "boost_selected": "boost_job",
    "dismiss": "requeue_job",
    "escalate": "requeue_job",
    "purge_selected": "purge_job",
}


@pytest.fixture
def operator() -> Client:
    return signed_in(*VIEWER, *set(PERMISSIONS.values()), "change_queue")


def act(client: Client, url: str, action: str, ids: list[UUID], **data: str) -> str:
    given = {"action": action, "_selected_action": [str(id_) for id_ in ids], "index": "0", **data}
    return client.post(url, given, follow=True).content.decode()


@pytest.mark.parametrize(
    ("action", "before", "after", "number"),
    [
        ("requeue_at_rate", "dead_letter", "pending", "5"),
        ("cancel_selected", "pending", "cancelled", None),
        ("boost_selected", "pending", "pending", "50"),
        ("dismiss", "dead_letter", "failed", None),
        ("escalate", "failed", "dead_letter", None),
        ("purge_selected", "completed", None, None),
    ],
)
def test_a_verb_is_counted_then_confirmed(operator: Client, action, before, after, number) -> None:
    job_id, other = make_job(state=before), make_job(state="running")
    asked = act(operator, JOBS, action, [job_id, other])
    count = 2 if action == "cancel_selected" else 1
    assert f"{count} job{'s' if count > 1 else ''} would be moved" in asked
    assert f"<li>1 {before}</li>" in asked
    assert (state_of(job_id), AuditEntry.objects.count()) == (before, 0)
    given = {"confirmed": "1", "reason": "because", **({"number": number} if number else {})}
    done = act(operator, JOBS, action, [job_id, other], **given)
    assert f": {count} job" in done
    job = Job.objects.filter(pk=job_id).first()
    assert (job.state if job else None) == after
    assert AuditEntry.objects.get(resource_type="jobs").detail["reason"] == "because"
    if action == "boost_selected":
        assert job.priority == 60


def test_a_whole_filtered_list_is_moved_and_nothing_beside_it(operator: Client) -> None:
    Queue.objects.create(name="mail")
    mail = [make_job(state="dead_letter", queue="mail") for _ in range(3)]
    other = make_job(state="dead_letter")
    across = {"select_across": "1", "confirmed": "1"}
    act(operator, DEAD_LETTERS + "?queue=mail", "purge_selected", mail[:1], **across)
    assert list(Job.objects.values_list("pk", flat=True)) == [other]
    assert AuditEntry.objects.get().detail["filter"] == {"queue": "mail", "states": ["dead_letter", "failed"]}


@pytest.mark.parametrize("query", ["?q=a.b", "?task=a.b", "?state=dead_letter&q=a.b"])
def test_a_search_narrows_what_is_moved(operator: Client, query: str) -> None:
    meant, other = make_job(state="dead_letter", task="a.b"), make_job(state="dead_letter")
    act(operator, JOBS + query, "dismiss", [meant], select_across="1", confirmed="1")
    assert (state_of(meant), state_of(other)) == ("failed", "dead_letter")


def test_every_job_is_never_meant_by_accident(operator: Client) -> None:
    job_id = make_job()
    said = act(operator, JOBS, "cancel_selected", [job_id], select_across="1", confirmed="1")
    assert "This would cancel every job. Say which jobs are meant" in said
    assert "would be moved: none of these" in act(
        operator, JOBS + "?state=completed", "cancel_selected", [job_id], select_across="1"
    )
    assert state_of(job_id) == "pending"


@pytest.mark.parametrize("number", ["", "x", "nan", "1e9"])
def test_a_number_that_is_none_asks_again(operator: Client, number: str) -> None:
    job_id = make_job()
    act(operator, JOBS, "boost_selected", [job_id], confirmed="1", number=number)
    assert Job.objects.get().priority == 10


@pytest.mark.parametrize("action", PERMISSIONS)
def test_each_verb_needs_its_permission(action: str) -> None:
    rest = set(PERMISSIONS.values()) - {PERMISSIONS[action]}
    client = signed_in(*VIEWER, *rest)
    before = "pending" if action in ("cancel_selected", "boost_selected") else "dead_letter"
    job_id = make_job(state=before)
    assert f'value="{action}"' not in text(client, JOBS)
    act(client, JOBS, action, [job_id], confirmed="1", number="5")
    assert (state_of(job_id), Job.objects.get().priority) == (before, 10)
    assert not AuditEntry.objects.exists()


# Edit and requeue


def test_a_dead_letter_is_edited_and_requeued(operator: Client) -> None:
    job_id = make_job(state="dead_letter", args=[1, "two"])
    url = reverse("admin:jobs_job_edit", args=[job_id])
    assert url in text(operator, page(job_id))
    assert "&quot;two&quot;" in text(operator, url)
    found = operator.post(url, {"args": "[1, 2]", "kwargs": "{}", "reason": "a typo"}, follow=True).content.decode()
    assert "Requeued 1 job." in found
    job = Job.objects.get()
    assert (job.state, json.loads(job.args)) == ("pending", [1, 2])
    assert AuditEntry.objects.get().detail["args"] == {"from": '[1, "two"]', "to": "[1, 2]"}
    assert url not in text(operator, page(job_id))
    again = operator.post(url, {"args": "[1, 2]", "kwargs": "{}"}, follow=True).content.decode()
    assert f"Job {job_id} is pending: only one that failed" in again


@pytest.mark.parametrize(
    ("args", "kwargs", "says"),
    [
        ("[1]", "{}", "missing a required argument: &#x27;y&#x27;"),
        ("[1, 2]", '{"z": 1}', "unexpected keyword argument &#x27;z&#x27;"),
        ("{", "{}", "This is no JSON"),
        ("{}", "{}", "Expected a JSON array"),
        ("[1, 2]", "[]", "Expected a JSON object"),
        ("[1, NaN]", "{}", "be written as JSON"),
        ("", "", "This field is required"),
    ],
)
def test_arguments_that_the_task_does_not_take_stay_in_the_form(operator: Client, args, kwargs, says) -> None:
    job_id = make_job(state="dead_letter")
    url = reverse("admin:jobs_job_edit", args=[job_id])
    found = operator.post(url, {"args": args, "kwargs": kwargs}).content.decode()
    assert says in found
    assert state_of(job_id) == "dead_letter"
    assert not AuditEntry.objects.exists()


def test_editing_needs_the_permission_to_requeue() -> None:
    job_id = make_job(state="dead_letter")
    url = reverse("admin:jobs_job_edit", args=[job_id])
    for codenames in (VIEWER, ("requeue_job",)):
        assert signed_in(*codenames).post(url, {"args": "[1, 2]", "kwargs": "{}"}).status_code == 403
    assert state_of(job_id) == "dead_letter"
    gone = reverse("admin:jobs_job_edit", args=[uuid4()])
    assert signed_in(*VIEWER, "requeue_job").get(gone).status_code == 302


# Why not, and queues


def test_the_page_says_why_a_job_is_not_running(operator: Client) -> None:
    found = text(operator, page(make_job()))
    assert "No dispatcher is at work." in found
    assert "It completed at" in text(operator, page(make_job(state="completed")))


def test_what_a_queue_keeps_of_dead_letters_is_changed_and_audited(operator: Client) -> None:
    Queue.objects.create(name="mail")
    change_queue(operator, "mail", dead_letter_cap="5", dead_letter_days="0")
    queue = Queue.objects.get()
    assert (queue.dead_letter_cap, queue.dead_letter_days) == (5, 0)
    assert AuditEntry.objects.get().detail["dead_letter_cap"] == {"from": None, "to": 5}
