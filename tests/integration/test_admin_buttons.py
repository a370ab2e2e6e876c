"""The buttons on a job's page: there where the transition and the right exist, audited, and refused by the guard."""

from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from jobs.admin.buttons import BUTTONS
from jobs.engine.control import POSTPONABLE
from jobs.models import AuditEntry, Job
from jobs.states import CANCEL, DISMISS, ESCALATE, LEASED, WAITING, State
from tests.support.rows import make_job

pytestmark = pytest.mark.django_db
EVERYTHING = ("view_job", "cancel_job", "boost_job", "postpone_job", "requeue_job")
SOURCES = {
    "cancel": CANCEL.sources | LEASED,
    "set-priority": WAITING,
    "boost": WAITING,
    "postpone": POSTPONABLE,
    "escalate": ESCALATE.sources,
    "dismiss": DISMISS.sources,
}


def signed_in(*codenames: str, **options: bool) -> Client:
    user = User.objects.create_user(f"ada-{uuid4()}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="jobs", codename__in=codenames))
    client = Client(**options)
    client.force_login(user)
    return client


@pytest.fixture
def operator() -> Client:
    return signed_in(*EVERYTHING)


def address(job_id: UUID, verb: str) -> str:
    return reverse("admin:jobs_job_verb", args=[job_id, verb])


def page(client: Client, job_id: UUID) -> str:
    return client.get(reverse("admin:jobs_job_change", args=[job_id])).content.decode()


def press(client: Client, job_id: UUID, verb: str, **given: str) -> str:
    return client.post(address(job_id, verb), given, follow=True).content.decode()


@pytest.mark.parametrize("state", State)
def test_a_job_has_the_buttons_of_its_state_and_no_other(operator: Client, state: State) -> None:
    job_id = make_job(state=state)
    shown = page(operator, job_id)
    assert {verb for verb in BUTTONS if address(job_id, verb) in shown} == {
        verb for verb, sources in SOURCES.items() if state in sources
    }


@pytest.mark.parametrize("verb", SOURCES)
def test_a_button_needs_its_permission(verb: str) -> None:
    state = sorted(SOURCES[verb])[0]
    job_id = make_job(state=state)
    right = BUTTONS[verb].permission.removeprefix("jobs.")
    for client in (signed_in(*set(EVERYTHING) - {right}), signed_in(right)):
        assert address(job_id, verb) not in page(client, job_id)
        assert client.post(address(job_id, verb), {"number": "5"}).status_code == 403
    job = Job.objects.get()
    assert (job.state, job.priority, job.cancel_requested_at) == (state, 10, None)
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    ("verb", "before", "after", "number", "says"),
    [
        ("cancel", "pending", ("cancelled", 10), "", "Cancelled."),
        ("set-priority", "pending", ("pending", -7), "-7", "Its priority is -7 now."),
        ("boost", "scheduled", ("scheduled", 60), "50", "Its priority is 60 now."),
        ("boost", "pending", ("pending", 100), "200", "Its priority is 100 now."),
        ("postpone", "pending", ("scheduled", 10), "3600", "It starts at "),
        ("postpone", "retrying", ("retrying", 10), "0", "or as soon as it can after that."),
        ("escalate", "failed", ("dead_letter", 10), "", "It is a dead letter now."),
        ("dismiss", "dead_letter", ("failed", 10), "", "Dismissed: it is failed"),
    ],
)
def test_a_button_moves_its_job_and_is_audited(operator: Client, verb, before, after, number, says) -> None:
    job_id, other = make_job(state=before), make_job(state=before)
    assert says in press(operator, job_id, verb, number=number, reason="because")
    job = Job.objects.get(pk=job_id)
    assert (job.state, job.priority) == after
    assert Job.objects.get(pk=other).state == before
    entry = AuditEntry.objects.get()
    assert (entry.resource_id, entry.detail["reason"], entry.ip) == (str(job_id), "because", "127.0.0.1")
    assert entry.actor.startswith("ada-")


def test_a_running_job_is_asked_to_stop(operator: Client) -> None:
    job_id = make_job(state="running")
    assert "Its worker was asked to stop it." in press(operator, job_id, "cancel")
    assert Job.objects.get().cancel_requested_at is not None


@pytest.mark.parametrize("verb", SOURCES)
def test_a_job_that_is_over_meanwhile_stays_as_it_is(operator: Client, verb: str) -> None:
    job_id = make_job(state="completed")
    assert "nothing was changed, the job is completed now." in press(operator, job_id, verb, number="5")
    assert (Job.objects.get().state, Job.objects.get().priority) == ("completed", 10)
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("verb", ["boost", "set-priority"])
@pytest.mark.parametrize("number", ["", "x", "1.5", "nan", "999999999999999999999", "9" * 5000])
def test_a_number_that_is_none_is_refused_in_words(operator: Client, verb: str, number: str) -> None:
    job_id = make_job()
    assert "expected" in press(operator, job_id, verb, number=number)
    assert Job.objects.get().priority == 10


def test_only_a_post_with_its_token_presses_a_button(operator: Client) -> None:
    job_id = make_job()
    assert operator.get(address(job_id, "cancel")).status_code == 405
    careful = signed_in(*EVERYTHING, enforce_csrf_checks=True)
    assert careful.post(address(job_id, "cancel")).status_code == 403
    assert "csrfmiddlewaretoken" in page(careful, job_id)
    assert Job.objects.get().state == "pending"


def test_a_button_that_does_not_exist_is_not_found(operator: Client) -> None:
    assert operator.post(address(make_job(), "purge")).status_code == 404


def test_a_job_that_is_gone_meanwhile_is_said_to_be(operator: Client) -> None:
    said = press(operator, uuid4(), "cancel")
    assert "nothing was changed, the job is gone." in said
