"""Each guard that the engine keeps in Python has a scenario that holds with it and fails without it."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from django.test import override_settings
from django.utils import timezone

from jobs import policy
from jobs.conf import jobs_settings
from jobs.engine import execute, workers
from jobs.engine.broker import Broker
from jobs.engine.dispatch import Dispatcher, Window
from jobs.engine.execute import Place, Run
from jobs.engine.link import Link
from jobs.engine.maintenance import Sweeper
from jobs.engine.slots import Slots
from jobs.models import Queue, Worker
from jobs.policy import Candidate, Outcome
from jobs.wire import ANY_QUEUE
from tests.support.breaking import Scenario, Twin, must_fail, twins_of
from tests.support.engine import lease, leases, new_job, opened, outcome, placed, row
from tests.support.rows import make_worker


def carried(link: Link, count: int, run: Callable[[Place, Run], Outcome]) -> list[str]:
    """Run some jobs as one carrier; returns their states."""
    jobs = [new_job() for _ in range(count)]
    token = lease(link, jobs)
    with placed(link) as place:
        execute.carry(token, place, lambda as_run: run(place, as_run))
    return [row(job).state for job in jobs]


def a_carrier_past_its_budget_gives_back_the_rest(link: Link, broker: Broker) -> None:
    with override_settings(JOBS_CARRIER_BUDGET=0.0):
        assert carried(link, 3, lambda place, run: outcome(run.id)) == ["completed", "pending", "pending"]


def a_worker_that_is_to_stop_starts_no_other_job(link: Link, broker: Broker) -> None:
    def stopping(place: Place, run: Run) -> Outcome:
        place.slots.stopping = True
        return outcome(run.id)

    assert carried(link, 3, stopping) == ["completed", "pending", "pending"]


def a_run_that_is_cut_off_keeps_its_lease(link: Link, broker: Broker) -> None:
    def cut(place: Place, run: Run) -> Outcome:
        raise SystemExit

    job = new_job()
    token = lease(link, [job])
    with placed(link) as place, suppress(SystemExit):
        execute.carry(token, place, lambda run: cut(place, run))
    assert (leases(), row(job).lease) == ([token], token)


def watched(link: Link, *clock: float) -> bool:
    """Looks at a silent worker at these moments; returns whether it is presumed dead."""
    make_worker()
    times = iter(clock)
    settings = replace(jobs_settings(), worker_timeout=60.0)
    sweeper = Sweeper(link, settings, clock=lambda: next(times))
    for _ in clock:
        sweeper.void_silent_workers()
    return Worker.objects.get().lost_at is not None


def one_look_presumes_nobody_dead(link: Link, broker: Broker) -> None:
    assert not watched(link, 1000, 1025, 1050)


def time_in_which_nobody_looked_counts_for_no_worker(link: Link, broker: Broker) -> None:
    assert not watched(link, 1000, 1025, 5000)


def the_window_counts_leases_and_messages(link: Link, broker: Broker) -> None:
    window = Window(slots={"a": 2}, leases={"a": 3}, places={"a": 2.1})
    assert window.room("a", 0) == 1, "a part of a place is none"
    assert window.room("a", 1) == 0
    window.fill("a", [0.9, 1.0])
    assert (window.leases["a"], window.room("a", 0)) == (5, 0)


def a_paused_queue_and_one_of_others_stand_still(link: Link, broker: Broker) -> None:
    Queue.objects.create(name="paused", paused_at=timezone.now())
    for queue in ("paused", "mine", "theirs"):
        new_job(queue=queue)
    dispatcher = Dispatcher(link, broker, jobs_settings(), queues=["mine", "paused"])
    assert set(dispatcher._ready_queues()) == {"mine"}


def a_new_leader_sends_what_the_last_one_may_not_have_sent(link: Link, broker: Broker) -> None:
    lease(link, [new_job()])
    with opened() as own:
        dispatcher = Dispatcher(own, broker, jobs_settings())
        assert dispatcher.lead()
        dispatcher.dispatch()
    assert broker.length(ANY_QUEUE) == 1


def what_was_lost_travels_alone(link: Link, broker: Broker) -> None:
    jobs = [Candidate(uuid4(), "t", was_lost) for was_lost in (False, True, False)]
    assert policy.plan_carriers(jobs, 1, expected=lambda task: 0.0, target=1.0, most=9) == [jobs[:1]]


def there_are_no_more_carriers_than_there_is_room(link: Link, broker: Broker) -> None:
    jobs = [Candidate(uuid4(), "t") for _ in range(5)]
    assert len(policy.plan_carriers(jobs, 2, expected=lambda task: None, target=1.0, most=9)) == 2


def a_process_that_has_ended_is_gone_and_one_with_the_same_number_as_this_is_an_earlier_one(
    link: Link, broker: Broker
) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert workers.process_is_gone(ended.pid)
    assert workers.process_is_gone(os.getpid())
    assert not workers.process_is_gone(os.getppid())


def a_connection_from_before_a_fork_is_not_used_after_it(link: Link, broker: Broker) -> None:
    with opened() as own:
        own.rows("alive")
        of_the_parent, own._pid = own._conn, -1
        own.rows("alive")
        of_the_child = own._conn
        of_the_parent.close()
    assert of_the_child is not of_the_parent


def a_connection_that_was_lost_is_opened_again(link: Link, broker: Broker) -> None:
    with opened() as own:
        own.rows("alive")
        own._conn.close()
        assert own.rows("alive") == []


def the_next_job_of_a_child_is_not_stopped_in_place_of_the_last(link: Link, broker: Broker) -> None:
    slots, first, second = Slots(1), uuid4(), uuid4()
    slots.write(0, uuid4(), 1, 0.0, job_id=first)
    slots.write(0, uuid4(), 2, 0.0, job_id=second)
    slots.ask_to_stop(0, first)
    assert not slots.is_to_stop(0, second)


def a_job_that_was_stopped_is_not_stopped_when_it_runs_again(link: Link, broker: Broker) -> None:
    slots, job = Slots(1), uuid4()
    slots.ask_to_stop(0, job)
    slots.write(0, uuid4(), 1, 0.0, job_id=job)
    assert not slots.is_to_stop(0, job)


TABLE: dict[Scenario, list[Twin]] = {
    a_carrier_past_its_budget_gives_back_the_rest: [
        Twin((execute, "_carry"), "lease.seconds() > jobs_settings().carrier_budget or ", ""),
        Twin((execute, "_carry"), "unstarted=[UUID(job[0]) for _, job in jobs[ran:]]", "unstarted=[]"),
    ],
    a_worker_that_is_to_stop_starts_no_other_job: [
        Twin((execute, "_carry"), " or place.slots.stopping", ""),
    ],
    a_run_that_is_cut_off_keeps_its_lease: [Twin((execute, "_carry"), "end=done == ran", "end=True")],
    one_look_presumes_nobody_dead: [
        Twin((Sweeper, "void_silent_workers"), "now - since >= self._settings.worker_timeout and ", "")
    ],
    time_in_which_nobody_looked_counts_for_no_worker: [
        Twin(
            (Sweeper, "void_silent_workers"),
            "if now - self._looked_at > self._settings.worker_timeout / 2:",
            "if False:",
        )
    ],
    the_window_counts_leases_and_messages: [
        Twin((Window, "room"), "self.places.get(routing_key, 0.0) + excess", "excess"),
        Twin((Window, "room"), " + excess", ""),
        Twin((Window, "room"), "math.floor", "round"),
        Twin((Window, "fill"), " + sum(places)", ""),
        Twin((Window, "fill"), " + len(places)", ""),
    ],
    a_paused_queue_and_one_of_others_stand_still: [
        Twin((Dispatcher, "_found_queues"), "if not paused:", "if True:"),
        Twin((Dispatcher, "_found_queues"), "if self.queues and queue not in self.queues:", "if False:"),
    ],
    a_new_leader_sends_what_the_last_one_may_not_have_sent: [
        Twin((Dispatcher, "lead"), "self._resend_all = True", "pass"),
        Twin((Dispatcher, "_send_unsent"), "if self._resend_all:", "if False:"),
    ],
    what_was_lost_travels_alone: [Twin((policy, "plan_carriers"), "math.inf if job.alone else ", "")],
    there_are_no_more_carriers_than_there_is_room: [Twin((policy, "plan_carriers"), "if taken > room:", "if False:")],
    a_process_that_has_ended_is_gone_and_one_with_the_same_number_as_this_is_an_earlier_one: [
        Twin((workers, "process_is_gone"), "return pid == os.getpid()", "return False"),
        Twin((workers, "process_is_gone"), "return True", "return False"),
    ],
    a_connection_from_before_a_fork_is_not_used_after_it: [Twin((Link, "_open"), " or self._pid != os.getpid()", "")],
    a_connection_that_was_lost_is_opened_again: [Twin((Link, "_open"), " or self._conn.closed", "")],
    the_next_job_of_a_child_is_not_stopped_in_place_of_the_last: [
        Twin((Slots, "is_to_stop"), "self._holds(index, _STOP, job_id)", "not self._holds(index, _STOP, NOBODY)")
    ],
    a_job_that_was_stopped_is_not_stopped_when_it_runs_again: [
        Twin((Slots, "write"), "self._memory[at + _STOP : at + _HALT] = _ZERO", "pass")
    ],
}


@pytest.mark.parametrize("scenario", TABLE, ids=lambda scenario: scenario.__name__)
def test_it_holds(link: Link, broker: Broker, scenario: Scenario) -> None:
    scenario(link, broker)


@pytest.mark.parametrize(("scenario", "twin"), twins_of(TABLE))
def test_it_does_not_without_its_guard(
    link: Link, broker: Broker, scenario: Scenario, twin: Twin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    twin.apply(monkeypatch, tmp_path)
    must_fail(scenario, link, broker)
