"""The sweep: dead workers by their silence, lost leases by their cause."""

from dataclasses import replace

from jobs.conf import jobs_settings
from jobs.engine.link import Link
from jobs.engine.maintenance import Sweeper
from jobs.models import Worker
from tests.support.engine import lease, leases, new_job, won
from tests.support.rows import make_worker


def test_the_sweep_takes_back_what_nobody_will_finish(link: Link) -> None:
    now = Worker.objects.get(pk=make_worker()).started_at
    kept = won(link, [new_job()], worker=make_worker())
    fresh = lease(link, [new_job()])
    lost = won(link, [new_job()], worker=(dead := make_worker()))
    stopped = won(link, [new_job()], worker=(gone := make_worker()))
    ghost = won(link, [new_job()], worker=(deleted := make_worker()))
    with link._open().cursor() as cursor:
        cursor.execute("UPDATE jobs_worker SET lost_at = %s WHERE id = %s", (now, dead))
        cursor.execute("UPDATE jobs_worker SET stopped_at = %s WHERE id = %s", (now, gone))
        cursor.execute("DELETE FROM jobs_worker WHERE id = %s", (deleted,))
    Sweeper(link, jobs_settings()).recover()
    assert set(leases()) == {kept, fresh}
    assert {lost, stopped, ghost}.isdisjoint(leases())
    Sweeper(link, replace(jobs_settings(), dispatch_timeout=0.0)).recover()
    assert leases() == [kept], "an unwon lease goes back after dispatch_timeout; a live worker keeps its own"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def silent(link: Link) -> tuple[Sweeper, Clock]:
    make_worker()
    clock = Clock()
    return Sweeper(link, replace(jobs_settings(), worker_timeout=60.0, heartbeat_interval=10.0), clock=clock), clock


def watch(sweeper: Sweeper, clock: Clock, seconds: int) -> bool:
    """Look every second; returns whether the worker is presumed dead."""
    for _ in range(seconds):
        clock.now += 1
        sweeper.void_silent_workers()
    return Worker.objects.get().lost_at is not None


def test_a_worker_is_presumed_dead_after_its_heartbeat_stood_still_for_the_timeout(link: Link) -> None:
    sweeper, clock = silent(link)
    assert not watch(sweeper, clock, 60)
    assert watch(sweeper, clock, 1)


def test_looks_rarer_than_heartbeats_find_a_silent_worker_too(link: Link) -> None:
    make_worker()
    clock = Clock()
    quick = replace(jobs_settings(), worker_timeout=4.0, heartbeat_interval=0.5)
    assert watch(Sweeper(link, quick, clock=clock), clock, 6)


def test_a_worker_that_sends_heartbeats_lives_on(link: Link) -> None:
    sweeper, clock = silent(link)
    for _ in range(4):
        assert not watch(sweeper, clock, 50)
        assert link.rows("heartbeat", id=Worker.objects.get().pk, slots=1, stopping=False)


def test_time_in_which_nobody_looked_counts_for_no_worker(link: Link) -> None:
    sweeper, clock = silent(link)
    assert not watch(sweeper, clock, 30)
    clock.now += 3600  # the database was away, for the workers too
    assert not watch(sweeper, clock, 60)


def test_a_worker_presumed_dead_hears_of_it_with_its_next_heartbeat(link: Link) -> None:
    sweeper, clock = silent(link)
    watch(sweeper, clock, 61)
    assert link.rows("heartbeat", id=Worker.objects.get().pk, slots=1, stopping=False) == []
