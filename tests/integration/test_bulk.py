"""Operator verbs over a filter: counted first, moved in chunks, audited as a whole and one by one."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from jobs.engine import JobFilter, Request, bulk
from jobs.errors import InvalidFilter, InvalidJob
from jobs.models import Attempt, AuditEntry, Job
from jobs.states import CANCEL, FINAL, LEASED, REQUEUE, State
from tests.support.rows import make_attempt, make_job

pytestmark = pytest.mark.django_db

ADA = Request(actor="ada", reason="the mail is back")
DRY = Request(actor="ada", dry_run=True)
NOW = datetime.now(UTC)
VERBS = {
    "requeue": (REQUEUE.sources, lambda which, who: bulk.requeue(which, who), State.PENDING),
    "cancel": (CANCEL.sources, lambda which, who: bulk.cancel(which, who), State.CANCELLED),
    "escalate": ({State.FAILED}, lambda which, who: bulk.set_state(which, who, state="dead_letter"), State.DEAD_LETTER),
    "dismiss": ({State.DEAD_LETTER}, lambda which, who: bulk.set_state(which, who, state="failed"), State.FAILED),
    "purge": (FINAL, lambda which, who: bulk.purge(which, who), None),
}


def one_of_each() -> dict[State, UUID]:
    return {state: make_job(state=state, queue="mail") for state in State}


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_moves_exactly_the_states_it_may_and_a_dry_run_none(name: str) -> None:
    sources, verb, target = VERBS[name]
    ids = one_of_each()
    make_job(state=sorted(sources)[0], queue="other")
    counted = verb(JobFilter(queue="mail"), DRY)
    asked = set(sources) | (LEASED if name == "cancel" else set())
    assert (counted.found, counted.moved) == (dict.fromkeys(asked, 1), 0)
    assert not AuditEntry.objects.exists()
    done = verb(JobFilter(queue="mail"), ADA)
    assert (done.found, done.moved) == (counted.found, len(asked))
    left = dict(Job.objects.filter(queue="mail").values_list("pk", "state"))
    for state, id_ in ids.items():
        assert left.get(id_) == (target if state in sources else state)
    assert Job.objects.filter(queue="other", state=sorted(sources)[0]).count() == 1
    entry = AuditEntry.objects.get(resource_type="jobs")
    assert (entry.actor, entry.action, entry.resource_id) == ("ada", f"bulk_{name}", "mail")
    assert entry.detail["filter"] == {"queue": "mail"}
    assert (entry.detail["moved"], entry.detail["reason"]) == (len(asked), "the mail is back")
    assert AuditEntry.objects.filter(resource_type="job").count() == (0 if name == "purge" else len(asked))


def test_many_jobs_move_in_chunks_and_a_failure_keeps_the_chunks_before_it(monkeypatch) -> None:
    monkeypatch.setattr(bulk, "CHUNK", 2)
    ids = sorted(make_job(state="dead_letter") for _ in range(5))
    met: list[list[UUID]] = []
    real = bulk.control.requeue

    def third_time_unlucky(chunk: list[UUID], **who: object) -> list[UUID]:
        met.append(list(chunk))
        if len(met) == 3:
            raise InvalidJob("the third chunk")
        return real(chunk, **who)

    monkeypatch.setattr(bulk.control, "requeue", third_time_unlucky)
    with pytest.raises(InvalidJob, match="the third chunk"):
        bulk.requeue(JobFilter(states=["dead_letter"]), ADA)
    assert met == [ids[:2], ids[2:4], ids[4:]]
    assert Job.objects.filter(state="pending").count() == 4
    assert AuditEntry.objects.get(resource_type="jobs").detail["moved"] == 4


def test_most_bounds_the_jobs_of_one_request() -> None:
    for _ in range(5):
        make_job(state="failed")
    done = bulk.requeue(JobFilter(states=["failed"]), Request(actor="ada", most=3))
    assert (done.count, done.moved, Job.objects.filter(state="pending").count()) == (5, 3, 3)


def test_jobs_that_come_after_the_start_are_left_alone() -> None:
    make_job(created_at=NOW + timedelta(hours=1))
    assert bulk.cancel(JobFilter(queue="default"), ADA).count == 0


def test_requeue_at_a_rate_schedules_one_after_the_other() -> None:
    ids = sorted(make_job(state="dead_letter") for _ in range(5))
    bulk.requeue(JobFilter(queue="default"), ADA, per_second=2)
    jobs = [Job.objects.get(pk=id_) for id_ in ids]
    assert [job.state for job in jobs] == ["pending"] + ["scheduled"] * 4
    gaps = [(job.run_at - jobs[0].ready_at).total_seconds() for job in jobs[1:]]
    assert gaps == pytest.approx([0.5, 1.0, 1.5, 2.0], abs=0.2)
    assert AuditEntry.objects.get(resource_type="jobs").detail["per_second"] == 2


FILTERS = [
    {"states": ["dead_letter"]},
    {"queue": "mail"},
    {"task": "a.b"},
    {"tags": {"tenant": "acme"}},
    {"reference": ("shop.order", "7")},
    {"created_after": NOW - timedelta(hours=1)},
    {"finished_after": NOW - timedelta(hours=1)},
    {"error": "SMTP"},
]


@pytest.mark.parametrize("given", FILTERS, ids=lambda given: next(iter(given)))
def test_a_filter_chooses_by_what_it_says(given: dict) -> None:
    old = NOW - timedelta(hours=2)
    chosen = make_job(
        state="dead_letter",
        queue="mail",
        task="a.b",
        tags={"tenant": "acme", "x": "y"},
        reference_type="shop.order",
        reference_id="7",
        created_at=NOW,
        error="ConnectionError: SMTP is down",
    )
    make_job(state="failed", created_at=old, finished_at=old)
    assert list(JobFilter(**given).jobs().values_list("pk", flat=True)) == [chosen]


def test_moments_before_and_ids_choose_too() -> None:
    old, new = NOW - timedelta(hours=2), make_job(state="failed", created_at=NOW, finished_at=NOW)
    gone = make_job(state="failed", created_at=old, finished_at=old)
    between = NOW - timedelta(hours=1)
    for which in (
        JobFilter(created_before=between),
        JobFilter(finished_before=between),
        JobFilter(ids=[gone, uuid4()]),
    ):
        assert [job.pk for job in which.jobs()] == [gone]
    assert JobFilter(ids=[]).jobs().count() == 0
    assert not JobFilter(ids=[]).is_empty, "no job is not every job"
    assert new


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda: bulk.cancel(JobFilter(), ADA), r"This would cancel every job\. Say which"),
        (lambda: bulk.purge(JobFilter(tags={}), DRY), "This would purge every job"),
        (lambda: bulk.cancel(JobFilter(states=["completed"]), ADA), "completed jobs can't be moved by 'cancel'"),
        (lambda: bulk.purge(JobFilter(states=["pending"]), ADA), "it takes cancelled, completed"),
        (lambda: JobFilter(states=["dead_leter"]), "Did you mean 'dead_letter'"),
        (lambda: JobFilter(queue="a\x00"), "NUL"),
        (lambda: JobFilter(created_after=datetime(2026, 1, 1)), "time zone"),  # noqa: DTZ001
        (lambda: bulk.requeue(JobFilter(queue="q"), ADA, per_second=0), "expected 0.001"),
        (lambda: bulk.set_state(JobFilter(queue="q"), ADA, state="running"), "No operator can make a job 'running'"),
        (lambda: bulk.set_state(JobFilter(queue="q"), ADA, state="completed"), r"failed \(from dead_letter\)"),
    ],
)
def test_a_request_that_is_not_meant_is_refused_with_what_is_possible(ask, says: str) -> None:
    make_job()
    with pytest.raises(InvalidFilter, match=says):
        ask()
    assert Job.objects.get().state == "pending"
    assert not AuditEntry.objects.exists()


def test_everything_may_be_meant() -> None:
    make_job()
    assert bulk.cancel(JobFilter(), Request(actor="ada", everything=True)).moved == 1


def test_set_state_goes_by_the_verbs() -> None:
    waiting, dead = make_job(), make_job(state="dead_letter")
    assert bulk.set_state(JobFilter(ids=[waiting, dead]), ADA, state="cancelled").moved == 1
    assert bulk.set_state(JobFilter(ids=[dead]), ADA, state="pending").moved == 1
    assert [Job.objects.get(pk=id_).state for id_ in (waiting, dead)] == ["cancelled", "pending"]


def test_boost_over_a_filter() -> None:
    ids = [make_job(queue="mail", priority=n) for n in (0, 90)]
    assert bulk.boost(JobFilter(queue="mail"), ADA, points=20).moved == 2
    assert [Job.objects.get(pk=id_).priority for id_ in ids] == [20, 100]


def test_purge_takes_the_attempts_too_so_that_the_id_is_free() -> None:
    job_id, kept = make_job(state="completed"), make_job(state="completed", queue="other")
    for id_ in (job_id, kept):
        make_attempt(id_)
    assert bulk.purge(JobFilter(queue="default"), ADA).moved == 1
    assert list(Attempt.objects.values_list("job_id", flat=True)) == [kept]
    make_attempt(make_job(id=job_id))
    assert Attempt.objects.filter(job_id=job_id).count() == 1


def test_purge_leaves_what_is_needed() -> None:
    chord = uuid4()
    member, over = make_job(state="completed", chord=chord), make_job(state="completed", chord=uuid4())
    body = make_job(state="blocked", after=chord)
    parent = make_job(state="completed")
    child = make_job(state="blocked", after=parent)
    holder = make_job(state="completed", unique_key="k", unique_until=NOW + timedelta(days=1))
    let_go = make_job(state="completed", unique_key="l", unique_until=NOW - timedelta(days=1))
    assert bulk.purge(JobFilter(states=["completed"]), ADA).moved == 2
    assert set(Job.objects.values_list("pk", flat=True)) == {member, body, parent, child, holder}
    assert not Job.objects.filter(pk__in=[over, let_go]).exists()


def test_the_jobs_of_a_reference_are_found() -> None:
    one = make_job(reference_type="shop.order", reference_id="7")
    make_job(reference_type="shop.order", reference_id="8")
    job = Job.objects.get(pk=one)
    assert [found.pk for found in Job.objects.for_reference(("shop.order", 7))] == [one]
    own = make_job(reference_type="jobs.job", reference_id=str(one))
    assert [found.pk for found in Job.objects.for_reference(job)] == [own]
    with pytest.raises(InvalidJob, match="pass a model instance or a"):
        Job.objects.for_reference("shop.order")
