"""Jobs behind one that blocks go back while it still runs: none is both given back and started."""

import threading
import time
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
from celery import current_app

from jobs.app.enforcer import Enforcer
from jobs.engine import cancel
from jobs.engine.execute import Place, Run, carry_all
from jobs.engine.link import Link
from jobs.models import Attempt, Lease
from tests.support.engine import NODE, lease, new_job, opened, outcome, placed, row
from tests.support.wait import wait_until


class Carrier:
    """A lease carried in a thread; each job waits for its `go`."""

    def __init__(self, link: Link, place: Place, count: int, *behind: UUID) -> None:
        self.jobs = [new_job() for _ in range(count)]
        self.token = lease(link, self.jobs)
        self.place = place
        self.begun: list[UUID] = []
        self.go = {job: threading.Event() for job in self.jobs}
        self.later: list[Callable[[], None]] = []
        self.enforcer = Enforcer(place.slots, link, NODE, current_app.tasks, self.later.append)
        self._thread = threading.Thread(target=carry_all, args=([self.token, *behind], place, self._run))
        self._thread.start()

    def _run(self, run: Run):
        self.begun.append(run.id)
        self.go[run.id].wait(20)
        return outcome(run.id)

    def until_begun(self, count: int) -> None:
        wait_until(lambda: len(self.begun) == count, what=f"{count} jobs begun")

    def end(self) -> None:
        for go in self.go.values():
            go.set()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def states(self) -> list[str]:
        return [row(job).state for job in self.jobs]


@pytest.fixture
def carrier(link: Link, settings) -> Iterator[Carrier]:
    settings.JOBS_CARRIER_BUDGET = 0.2
    with opened() as own, placed(own) as place:
        carrier = Carrier(link, place, 4)
        carrier.until_begun(1)
        yield carrier
        carrier.end()


def over_budget(carrier: Carrier) -> None:
    _, run = next(carrier.place.slots.running())
    wait_until(lambda: time.monotonic() - run.since > 0.2, what="the budget to be spent")


def test_jobs_behind_a_blocker_go_back_without_an_attempt_and_are_not_run_here(carrier: Carrier) -> None:
    over_budget(carrier)
    assert carrier.enforcer.relieve() is True
    assert carrier.later == []  # the child may just have begun the next
    carrier.enforcer.relieve()
    carrier.later.pop()()
    wait_until(lambda: carrier.states() == ["running", "pending", "pending", "pending"])
    assert [row(job).attempt for job in carrier.jobs] == [1, 0, 0, 0]
    carrier.enforcer.relieve()
    assert carrier.later == []  # given back once
    carrier.end()
    assert carrier.begun == carrier.jobs[:1]
    assert carrier.states() == ["completed", "pending", "pending", "pending"]
    assert Attempt.objects.count() == 1
    assert not Lease.objects.exists()


def test_the_leases_behind_it_in_its_message_go_back_too(carrier: Carrier, link: Link) -> None:
    other = new_job()
    token = lease(link, [other])
    carrier.enforcer._behind = {carrier.token: [token]}.__getitem__
    over_budget(carrier)
    carrier.enforcer.relieve()
    carrier.enforcer.relieve()
    carrier.later.pop()()
    assert (row(other).state, row(other).attempt) == ("pending", 0)


def test_a_job_with_nothing_behind_it_but_leases_is_relieved_of_them(link: Link, settings) -> None:
    settings.JOBS_CARRIER_BUDGET = 0.2
    with opened() as own, placed(own) as place:
        carrier = Carrier(link, place, 1, lease(link, [new_job()]))
        carrier.until_begun(1)
        over_budget(carrier)
        assert carrier.enforcer.relieve() is True
        carrier.end()


def test_within_its_budget_a_carrier_is_left_alone(carrier: Carrier, settings) -> None:
    settings.JOBS_CARRIER_BUDGET = 60
    assert carrier.enforcer.relieve() is False
    carrier.enforcer.relieve()
    assert carrier.later == []
    carrier.end()
    assert carrier.states() == ["completed"] * 4


def test_a_child_that_goes_on_between_the_two_looks_gives_the_rest_back_itself(carrier: Carrier) -> None:
    over_budget(carrier)
    carrier.enforcer.relieve()
    carrier.go[carrier.jobs[0]].set()
    wait_until(lambda: not Lease.objects.exists(), what="the end of the lease")
    carrier.enforcer.relieve()
    assert carrier.later == []
    assert carrier.begun == carrier.jobs[:1]
    assert carrier.states() == ["completed", "pending", "pending", "pending"]
    assert row(carrier.jobs[1]).attempt == 0


def test_a_job_that_was_begun_between_the_two_looks_is_not_given_back(carrier: Carrier, settings) -> None:
    settings.JOBS_CARRIER_BUDGET = 60
    carrier.go[carrier.jobs[0]].set()
    carrier.until_begun(2)
    wait_until(lambda: carrier.place.slots.read(0) is not None)
    _, second = next(carrier.place.slots.running())
    settings.JOBS_CARRIER_BUDGET = 0.0
    # What the first look saw was the job before.
    carrier.enforcer._halted[carrier.token] = type(second)(
        second.token, second.pid, 1, carrier.jobs[0], second.started, 0.0, 3, second.since
    )
    carrier.enforcer.relieve()
    assert carrier.later == []
    carrier.enforcer.relieve()
    carrier.later.pop()()
    assert row(carrier.jobs[1]).lease == carrier.token
    assert [row(job).state for job in carrier.jobs[2:]] == ["pending", "pending"]


def test_a_cancelled_job_behind_a_blocker_is_cancelled(carrier: Carrier) -> None:
    over_budget(carrier)
    assert cancel([carrier.jobs[2]], actor="tester").asked == [carrier.jobs[2]]
    carrier.enforcer.relieve()
    carrier.enforcer.relieve()
    carrier.later.pop()()
    assert [row(job).state for job in carrier.jobs[1:]] == ["pending", "cancelled", "pending"]


def test_a_long_job_is_logged_once_while_it_runs(carrier: Carrier, settings, caplog) -> None:
    settings.JOBS_SLOW_JOB_THRESHOLD = 0.1
    _, run = next(carrier.place.slots.running())
    wait_until(lambda: time.monotonic() - run.started > 0.1)
    carrier.enforcer.slow()
    carrier.enforcer.slow()
    (said,) = [record for record in caplog.records if "slow job" in record.message]
    assert said.message == "slow job: tests.support.tasks.noop has run for 0 s"
    assert (said.job_id, said.task, said.worker) == (str(carrier.jobs[0]), "tests.support.tasks.noop", NODE)
    assert said.seconds >= 0.1
    carrier.go[carrier.jobs[0]].set()
    carrier.until_begun(2)
    assert [r for r in caplog.records if str(carrier.jobs[1]) in r.__dict__.values()] == []


def test_a_threshold_of_zero_logs_nothing(carrier: Carrier, settings, caplog) -> None:
    settings.JOBS_SLOW_JOB_THRESHOLD = 0
    over_budget(carrier)
    carrier.enforcer.slow()
    assert [record for record in caplog.records if "slow job" in record.message] == []
