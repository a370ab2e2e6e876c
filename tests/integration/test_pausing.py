"""Pauses of tasks, unique keys and tags: what they hold does not start, stands in nobody's way, and goes on after."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from jobs.conf import jobs_settings
from jobs.engine import cancel, pause, postpone, resume
from jobs.engine import dispatch as dispatching
from jobs.engine.broker import Broker
from jobs.engine.control import boost
from jobs.engine.dispatch import front
from jobs.engine.floors import Floors
from jobs.engine.link import Link
from jobs.engine.upkeep import Upkeep
from jobs.errors import InvalidPause, QueueFull
from jobs.explain import explain
from jobs.models import AuditEntry, Job, Pause, Queue
from jobs.pauses import pauses
from tests.support.clock import Clock
from tests.support.engine import dispatcher, new_job, row
from tests.support.rows import make_job, make_worker, state_of

ADA = {"actor": "ada", "reason": "it floods the partner"}
HELD = {
    "task": ("task", "shop.bill", {"task": "shop.bill"}),
    "key": ("key", "order:1", {"unique_key": "order:1"}),
    "tag": ("tag", "shop", {"tags": '{"shop": "berlin"}'}),
    "tag with its value": ("tag", "shop=berlin", {"tags": '{"shop": "berlin"}'}),
}
FREE = {
    "task": {"task": "shop.bill.later"},
    "key": {"unique_key": "order:12"},
    "tag": {"tags": '{"shops": "berlin"}'},
    "tag with its value": {"tags": '{"shop": "bonn"}'},
}


def states() -> dict[UUID, str]:
    return dict(Job.objects.values_list("pk", "state"))


def let_go(link: Link) -> None:
    Upkeep(link, jobs_settings()).step()


@pytest.mark.parametrize("case", HELD)
def test_what_is_paused_is_set_aside_and_the_rest_goes_on(link: Link, broker: Broker, case: str) -> None:
    kind, what, columns = HELD[case]
    make_worker(slots=5)
    pause(kind, what, **ADA)
    held, free, plain = new_job(**columns), new_job(**FREE[case]), new_job()
    made = dispatcher(link, broker)
    made.dispatch()
    assert states() == {held: "paused", free: "dispatched", plain: "dispatched"}
    assert resume(kind, what, actor="ada")
    let_go(link)
    made.dispatch()
    assert state_of(held) == "dispatched"


@pytest.mark.parametrize("case", HELD)
def test_a_claim_takes_nothing_that_is_paused_though_nobody_has_set_it_aside(link: Link, case: str) -> None:
    kind, what, columns = HELD[case]
    held, free = new_job(**columns), new_job(**FREE[case])
    pause(kind, what, **ADA)
    with link.transaction():
        assert [job.id for job in front(link, "default", limit=10)] == [free]
    assert state_of(held) == "pending"


@pytest.mark.parametrize("case", HELD)
def test_it_is_explained(transactional_db: None, case: str) -> None:
    kind, what, columns = HELD[case]
    pause(kind, what, **ADA)
    held, free = new_job(**columns), new_job(**FREE[case])
    said = explain(Job.objects.get(pk=held))[0]
    assert said.code == "paused"
    assert f"Its {kind} {what} was paused by ada at" in said.text
    assert "it floods the partner" in said.text
    assert "paused" not in {reason.code for reason in explain(Job.objects.get(pk=free))}


def test_it_goes_on_in_its_place_by_the_aging_of_the_day(link: Link, broker: Broker) -> None:
    Queue.objects.create(name="default", aging_us=0)
    first, second = new_job(task="shop.bill", priority=0), new_job(task="shop.bill", priority=50)
    pause("task", "shop.bill", **ADA)
    make_worker(slots=1)
    made = dispatcher(link, broker)
    assert made.dispatch() == 0
    Queue.objects.update(aging_us=10**9)
    resume("task", "shop.bill", actor="ada")
    let_go(link)
    with link.transaction():
        assert [job.id for job in front(link, "default", limit=2)] == [second, first]


def test_a_pause_ends_by_itself(link: Link, broker: Broker) -> None:
    make_worker()
    held = new_job(task="shop.bill")
    pause("task", "shop.bill", until=timezone.now() + timedelta(hours=1), **ADA)
    made = dispatcher(link, broker)
    made.dispatch()
    let_go(link)
    assert state_of(held) == "paused"
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_pause SET until = now()")
    assert pauses() == []
    let_go(link)
    assert (state_of(held), Pause.objects.count()) == ("pending", 0)
    assert made.dispatch() == 1


def test_a_pause_that_is_over_holds_nothing_though_its_row_is_still_there(link: Link) -> None:
    held = new_job(task="shop.bill")
    pause("task", "shop.bill", until=timezone.now() + timedelta(hours=1), **ADA)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_pause SET until = now()")
    assert link.rows("hold", queue="default", limit=10)[0][3] == 0
    with link.transaction():
        assert [job.id for job in front(link, "default", limit=1)] == [held]


def test_one_of_two_pauses_still_holds(link: Link, broker: Broker) -> None:
    make_worker()
    held = new_job(task="shop.bill", tags='{"shop": "berlin"}')
    pause("task", "shop.bill", **ADA)
    pause("tag", "shop=berlin", **ADA)
    made = dispatcher(link, broker)
    made.dispatch()
    resume("task", "shop.bill", actor="ada")
    let_go(link)
    assert made.dispatch() == 0
    assert state_of(held) == "paused"
    resume("tag", "shop=berlin", actor="ada")
    let_go(link)
    assert made.dispatch() == 1


def test_many_that_are_paused_stand_in_nobodys_way(link: Link, broker: Broker, monkeypatch) -> None:
    """Their front is set aside in pieces; meanwhile what stands before, among and behind them is claimed."""
    monkeypatch.setattr(dispatching, "SET_ASIDE", 10)
    make_worker(slots=50)
    first = new_job(priority=30)
    many = [new_job(task="shop.bill", priority=20) for _ in range(15)]
    among = new_job(priority=20)
    many += [new_job(task="shop.bill", priority=20) for _ in range(25)]
    behind = new_job(priority=10)
    pause("task", "shop.bill", **ADA)
    made = dispatcher(link, broker)
    assert made.dispatch() == 3
    assert {state_of(job) for job in (first, among, behind)} == {"dispatched"}
    before = new_job(priority=100)
    made.dispatch()
    assert state_of(before) == "dispatched"
    for _ in range(5):
        new_job(priority=-100)
        made.dispatch()
    assert {state_of(job) for job in many} == {"paused"}


def test_a_look_that_did_not_come_to_its_end_goes_on_at_once(link: Link, broker: Broker, monkeypatch) -> None:
    monkeypatch.setattr(dispatching, "SET_ASIDE", 2)
    make_worker(slots=5)
    for _ in range(3):
        new_job(task="shop.bill")
    pause("task", "shop.bill", **ADA)
    clock = Clock()
    made = dispatcher(link, broker)
    made.floors = Floors(clock, share=0.1)
    set_aside = made._set_aside

    def slowly(queue: str) -> object:
        clock.now += 0.05
        return set_aside(queue)

    monkeypatch.setattr(made, "_set_aside", slowly)
    made.dispatch()
    assert made.floors.is_due("default")
    made.dispatch()
    assert not made.floors.is_due("default")


def test_a_paused_job_is_cancelled_boosted_or_expires_like_any_that_waits(link: Link, broker: Broker) -> None:
    make_worker()
    pause("task", "shop.bill", **ADA)
    wanted, late, other = (new_job(task="shop.bill", expires=expires) for expires in (None, 3600, None))
    made = dispatcher(link, broker)
    made.dispatch()
    assert boost([other], 5, actor="ada") == {other: 15}
    assert cancel([wanted], actor="ada").now == [wanted]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_job SET expires_at = now() WHERE expires_at IS NOT NULL")
    assert link.rows("expire", limit=10) == [(late,)]
    assert states() == {wanted: "cancelled", late: "expired", other: "paused"}


def test_paused_jobs_count_for_the_size_of_their_queue(link: Link, broker: Broker) -> None:
    Queue.objects.create(name="default", max_size=2)
    make_worker(slots=5)
    pause("task", "shop.bill", **ADA)
    for _ in range(2):
        new_job(task="shop.bill")
    assert dispatcher(link, broker).dispatch() == 0
    assert set(states().values()) == {"paused"}
    with pytest.raises(QueueFull):
        new_job()


def test_pausing_is_audited_once_for_each_request(transactional_db: None) -> None:
    pause("tag", "shop=berlin", **ADA, ip="10.0.0.1")
    pause("tag", "shop=berlin", actor="bob", reason="still")
    pause("tag", "shop", actor="bob")
    assert [(found.what, found.by, found.reason) for found in pauses()] == [
        ("shop=berlin", "bob", "still"),
        ("shop", "bob", ""),
    ]
    assert resume("tag", "shop=berlin", actor="eve")
    assert not resume("tag", "shop=berlin", actor="eve")
    assert list(AuditEntry.objects.order_by("id").values_list("actor", "action", "resource_id", "ip")) == [
        ("ada", "pause", "shop=berlin", "10.0.0.1"),
        ("bob", "pause", "shop=berlin", None),
        ("bob", "pause", "shop", None),
        ("eve", "resume", "shop=berlin", None),
    ]


def test_a_queue_is_paused_and_resumed_by_the_same_verbs(link: Link, broker: Broker) -> None:
    make_worker()
    Queue.objects.create(name="default")
    held = new_job()
    pause("queue", "default", **ADA)
    made = dispatcher(link, broker)
    assert made.dispatch() == 0
    assert state_of(held) == "pending", "a paused queue's jobs wait where they are"
    (found,) = pauses()
    assert (found.kind, found.what, found.by, found.reason) == ("queue", "default", *ADA.values())
    assert resume("queue", "default", actor="ada")
    assert not resume("queue", "default", actor="ada")
    assert made.dispatch() == 1


@pytest.mark.parametrize(
    ("kind", "what", "more", "says"),
    [
        ("job", "x", {}, "There is no pause of a 'job'; expected one of queue, task, key, tag."),
        ("task", "", {}, "text of 1 to 500 characters"),
        ("tag", "=berlin", {}, "text of 1 to 500 characters"),
        ("task", "a\x00", {}, "without NUL"),
        ("task", "a" * 501, {}, "text of 1 to 500 characters"),
        ("task", "a", {"reason": "\x00"}, "without NUL"),
        ("queue", "mial", {}, "There is no queue 'mial'. A queue is known from its first job on; known are: mail."),
        ("queue", "mail", {"until": timezone.now() + timedelta(hours=1)}, "leave `until` out"),
        ("task", "a", {"until": timezone.now() - timedelta(hours=1)}, "expected a moment to come"),
        ("task", "a", {"until": timezone.now().replace(tzinfo=None)}, "with its time zone"),
    ],
)
def test_a_pause_that_can_not_be_is_refused(
    transactional_db: None, kind: str, what: str, more: dict, says: str
) -> None:
    Queue.objects.create(name="mail")
    with pytest.raises(InvalidPause) as refused:
        pause(kind, what, actor="ada", **more)
    assert says in str(refused.value)
    assert (Pause.objects.count(), AuditEntry.objects.count()) == (0, 0)


def test_a_waiting_job_is_postponed_or_runs_now(link: Link, broker: Broker) -> None:
    make_worker(slots=5)
    later = timezone.now() + timedelta(hours=2)
    waits, retry = new_job(), make_job(state="retrying", run_at=later, attempt=1)
    assert postpone([waits], later, **ADA) == {waits: later}
    made = dispatcher(link, broker)
    made.promote()
    assert (state_of(waits), state_of(retry)) == ("scheduled", "retrying")
    now = postpone([waits, retry], timezone.now() - timedelta(days=1), **ADA)
    assert all(abs((at - timezone.now()).total_seconds()) < 60 for at in now.values()), "not in the past"
    made.promote()
    assert made.dispatch() == 2
    entry = AuditEntry.objects.filter(action="postpone", resource_id=str(waits)).first()
    assert entry.detail["reason"] == ADA["reason"]
    assert entry.detail["run_at"]["from"] is None


def test_a_paused_job_that_is_postponed_is_held_again_when_its_time_comes(link: Link, broker: Broker) -> None:
    make_worker()
    pause("task", "shop.bill", **ADA)
    job = new_job(task="shop.bill")
    made = dispatcher(link, broker)
    made.dispatch()
    assert postpone([job], timezone.now(), actor="ada")
    made.promote()
    made.dispatch()
    assert row(job).state == "paused"


def test_a_job_is_not_postponed_beyond_its_expiry_nor_when_it_waits_for_others(link: Link) -> None:
    later = timezone.now() + timedelta(hours=2)
    expires, blocked, over = new_job(expires=3600), make_job(state="blocked"), make_job(state="completed")
    assert postpone([expires, blocked, over], later, actor="ada") == {}
    assert (state_of(expires), AuditEntry.objects.count()) == ("pending", 0)


def test_upkeep_looks_at_pauses_while_ranks_and_retention_rest(link: Link) -> None:
    clock = Clock()
    upkeep = Upkeep(link, jobs_settings(), clock=clock)
    make_job(state="paused")
    assert upkeep.step() < 1.0, "there was something to do, so the next look is soon"
    assert set(states().values()) == {"pending"}
