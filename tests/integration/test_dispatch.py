"""The dispatcher: rank order, bounded window, nothing lost with the broker."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from jobs.engine.broker import Broker
from jobs.engine.dispatch import LONGEST_LULL, front
from jobs.engine.floors import Floors
from jobs.engine.link import Link
from jobs.models import Job, Lease, Queue
from jobs.wire import ANY_QUEUE
from tests.support.engine import dispatcher, empty, leases, new_job, row
from tests.support.rows import make_job, make_worker
from tests.support.statements import lost


def sent(broker: Broker) -> list[str]:
    """Lease tokens in the order in which workers will take them."""
    waiting = broker._connection.SimpleQueue(ANY_QUEUE)
    messages = [waiting.get(timeout=5).payload[0][1:] for _ in range(broker.length(ANY_QUEUE))]
    return [token for tokens in messages for token in tokens]


def order() -> list[UUID]:
    """Jobs in the order in which they were leased."""
    return [job for lease in Lease.objects.order_by("sent_at") for job in lease.job_ids]


def age(job: UUID, seconds: float) -> None:
    """As if it had become ready earlier."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE jobs_job SET ready_at = ready_at - %s, rank = rank - %s WHERE id = %s",
            [timedelta(seconds=seconds), int(seconds * 1_000_000), job],
        )


def test_nothing_leaves_the_database_without_a_worker(link: Link, broker: Broker) -> None:
    new_job()
    make_worker(queues=["another"])
    assert dispatcher(link, broker).dispatch() == 0
    assert (Job.objects.get().state, leases(), broker.length(ANY_QUEUE)) == ("pending", [], 0)


def test_the_best_priority_leaves_first_and_the_older_of_equals(link: Link, broker: Broker) -> None:
    make_worker(slots=10)
    low, first, second, high = (new_job(priority=p) for p in (0, 10, 10, 30))
    assert dispatcher(link, broker).dispatch() == 4
    assert order() == [high, first, second, low]
    assert sent(broker) == [str(token) for token in leases()], "the broker has them in the same order"


def test_ten_points_of_priority_weigh_an_hour_of_waiting(link: Link, broker: Broker) -> None:
    make_worker(slots=10)
    early, late = new_job(priority=10), new_job(priority=10)
    fresh = new_job(priority=20)
    age(early, 3700)
    age(late, 3500)
    dispatcher(link, broker).dispatch()
    assert order() == [early, fresh, late]


def test_in_a_strict_queue_no_waiting_makes_up_for_a_point(link: Link, broker: Broker) -> None:
    Queue.objects.create(name="a", aging_us=10**15)
    make_worker(slots=10)
    old, fresh = new_job(queue="a", priority=-100), new_job(queue="a", priority=-99)
    age(old, 30 * 365 * 86_400)
    dispatcher(link, broker).dispatch()
    assert order() == [fresh, old]


def test_a_lost_job_keeps_its_place(link: Link, broker: Broker) -> None:
    make_worker(slots=1)
    made = dispatcher(link, broker)
    jobs = [new_job() for _ in range(4)]
    made.dispatch()
    for token in leases():
        lost(link, token, won=False)
    empty(broker)
    make_worker(slots=5)
    made.dispatch()
    assert order() == jobs


def test_a_paused_queue_keeps_its_jobs(link: Link, broker: Broker) -> None:
    make_worker(slots=5)
    paused = Queue.objects.create(name="a", paused_at=row(new_job(queue="a")).created_at)
    kept = Job.objects.get().pk
    sent = new_job(queue="b")
    made = dispatcher(link, broker)
    made.dispatch()
    assert (row(kept).state, row(sent).state) == ("pending", "dispatched")
    Queue.objects.filter(pk=paused.pk).update(paused_at=None)
    made.dispatch()
    assert row(kept).state == "dispatched"


def test_a_queue_appears_with_its_first_job(link: Link, broker: Broker) -> None:
    make_worker()
    new_job(queue="a")
    dispatcher(link, broker, aging=7).dispatch()
    assert Queue.objects.get().aging_us == 7_000_000


def test_two_carriers_for_each_slot_are_under_way_and_no_more(link: Link, broker: Broker) -> None:
    make_worker(slots=3)
    for _ in range(20):
        new_job()
    made = dispatcher(link, broker)
    assert [made.dispatch() for _ in range(3)] == [6, 0, 0]
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM jobs_lease")
    assert made.dispatch() == 0, "what waits in the broker takes room too"
    broker._connection.default_channel.queue_purge(ANY_QUEUE)
    assert made.dispatch() == 6


def test_a_long_queue_of_short_jobs_shares_carriers(link: Link, broker: Broker) -> None:
    make_worker(slots=1)
    jobs = [new_job(task="short") for _ in range(300)]
    made = dispatcher(link, broker, carrier_max=20)
    sent = 0
    while len(leases()) < 2:
        sent += made.dispatch()
    assert Lease.objects.count() == 2
    assert order() == jobs[:sent]
    assert all(len(lease.job_ids) <= 20 for lease in Lease.objects.all())


def test_a_queue_goes_to_its_own_workers_and_then_to_those_that_serve_all(link: Link, broker: Broker) -> None:
    make_worker(slots=1, queues=["a"])
    make_worker(slots=1)
    for _ in range(9):
        new_job(queue="a")
    assert dispatcher(link, broker).dispatch() == 4
    assert (broker.length("a"), broker.length(ANY_QUEUE)) == (2, 2)


@pytest.mark.parametrize("sign", ["stopping_at", "stopped_at", "lost_at"])
def test_a_worker_that_ends_is_given_no_more(link: Link, broker: Broker, sign: str) -> None:
    new_job()
    make_worker(**{sign: Job.objects.get().created_at})
    assert dispatcher(link, broker).dispatch() == 0


def test_a_worker_without_heartbeats_is_given_no_more(link: Link, broker: Broker) -> None:
    new_job()
    make_worker(heartbeat_at=Job.objects.get().created_at - timedelta(seconds=61))
    assert dispatcher(link, broker, worker_timeout=60.0).dispatch() == 0


def test_a_job_past_its_expiry_does_not_leave(link: Link, broker: Broker) -> None:
    make_worker()
    late = new_job(expires=-1)
    assert dispatcher(link, broker).dispatch() == 0
    assert link.rows("expire", limit=10) == [(late,)]
    assert (row(late).state, row(late).error) == ("expired", "expired: it did not start before its expiry")


def test_a_job_that_was_lost_before_travels_alone(link: Link, broker: Broker) -> None:
    make_worker(slots=1)
    lost = make_job(task="short", attempt=1, rank=-(10**18))
    for _ in range(8):
        new_job(task="short")
    made = dispatcher(link, broker)
    made.durations._jobs_per_place["default"] = 100
    made.dispatch()
    first, second = Lease.objects.order_by("sent_at")
    assert first.job_ids == [lost]
    assert len(second.job_ids) > 1


def test_short_jobs_that_travel_alone_share_the_places_of_the_window(link: Link, broker: Broker) -> None:
    make_worker(slots=1)
    make_job(task="short", state="completed", started_at=timezone.now(), finished_at=timezone.now())
    for _ in range(40):
        new_job(task="short")
    made = dispatcher(link, broker, carrier_max=1)
    made.dispatch()
    made.floors = Floors()
    made.dispatch()
    taken = sum(Lease.objects.values_list("place", flat=True))
    assert 1 < taken <= 2, "two places, of which no whole one is free"
    assert len(leases()) > 10
    assert {len(lease.job_ids) for lease in Lease.objects.all()} == {1}
    assert made.dispatch() == 0
    assert broker.length(ANY_QUEUE) < 8, "in few messages"
    assert sent(broker) == [str(token) for token in leases()]


def test_a_heavy_weight_costs_an_empty_queue_one_look(link: Link, broker: Broker, monkeypatch) -> None:
    Queue.objects.create(name="a", weight=30_000)
    make_worker(slots=5)
    new_job(queue="a")
    made = dispatcher(link, broker)
    looks = []
    claim = made._claim
    monkeypatch.setattr(made, "_claim", lambda *args: looks.append(args) or claim(*args))
    made.dispatch()
    assert len(looks) <= 2


def test_a_job_is_due_when_the_database_says_so(link: Link, broker: Broker) -> None:
    due, later = new_job(delay=0.0), new_job(delay=60.0)
    retry = make_job(state="retrying")
    dispatcher(link, broker).promote()
    assert [row(job).state for job in (due, later, retry)] == ["pending", "scheduled", "pending"]
    assert row(retry).run_at is None


def test_a_claim_goes_on_where_the_last_one_ended(link: Link, broker: Broker) -> None:
    make_worker(slots=1)
    jobs = [new_job() for _ in range(3)]
    made = dispatcher(link, broker)
    assert made.dispatch() == 2
    assert front(link, "default", limit=1, begin=made.floors._positions["default"])[0].id == jobs[2]


def test_a_job_of_higher_priority_is_seen_at_the_next_look_at_the_whole(link: Link, broker: Broker) -> None:
    make_worker(slots=1)
    new_job()
    clock = [0.0]
    made = dispatcher(link, broker)
    made.floors = Floors(lambda: clock[0], share=0.1)
    assert made.dispatch() == 1
    urgent = new_job(priority=50)
    made.floors._due = {None: 1.0, "default": 1.0}
    assert made.dispatch() == 0
    clock[0] = 1.0
    assert made.dispatch() == 1
    assert urgent in order()


def test_the_list_of_queues_may_be_a_second_old_and_a_pause_holds_at_once(link: Link, broker: Broker) -> None:
    make_worker(slots=5)
    new_job()
    made = dispatcher(link, broker)
    assert made.dispatch() == 1
    made.floors = Floors(lambda: 0.0)
    made.floors._due = {None: 1.0}
    new_job()
    Queue.objects.filter(name="default").update(paused_at=timezone.now())
    assert made.dispatch() == 0
    Queue.objects.filter(name="default").update(paused_at=None)
    assert made.dispatch() == 1


@pytest.mark.parametrize(("seconds", "lull"), [(None, 0.0), (0.01, 0.0025), (3600.0, LONGEST_LULL)])
def test_between_rounds_it_rests_by_the_least_work_that_it_has_sent(
    link: Link, broker: Broker, seconds: float | None, lull: float
) -> None:
    make_worker(slots=4)
    made = dispatcher(link, broker)
    if seconds is not None:
        made.durations._seconds["known"] = seconds
    new_job(task="known")
    made.dispatch()
    assert made.lull == pytest.approx(lull)
