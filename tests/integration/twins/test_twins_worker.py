"""What a worker's main process does to its children: each guard has a scenario that fails without it."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from uuid import UUID, uuid4

from celery import current_app
from django.test import override_settings

from jobs.app import pools
from jobs.app.enforcer import Enforcer
from jobs.engine import cancel, execute
from jobs.engine.execute import Place, Run
from jobs.engine.link import Link
from jobs.engine.slots import Slots
from jobs.policy import Outcome
from tests.support.breaking import Scenario, Twin, proofs
from tests.support.engine import NODE, lease, new_job, outcome, placed, row, won
from tests.support.wait import wait_until


@contextmanager
def child(slots: Slots, index: int, token: UUID, job_id: UUID, *, limit: float = 0.0) -> Iterator[int]:
    """A process that runs a job for ten seconds already, and hears nothing. Yields its id."""
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        slots.write(index, token, 1, time.monotonic() - 10, job_id=job_id, limit=limit)
        while True:
            signal.pause()
    try:
        wait_until(lambda: slots.read(index) is not None, what="the child in its slot")
        yield pid
    finally:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def is_alive(pid: int) -> bool:
    """Whether it runs; one that was killed is waited for."""
    with open(f"/proc/{pid}/stat") as stat:
        state = stat.read().rpartition(")")[2].split()[0]
    return state not in "ZX"


def dies(pid: int) -> bool:
    with suppress(AssertionError):
        return wait_until(lambda: not is_alive(pid), within=1.0)
    return False


def enforcer_of(slots: Slots, link: Link, later: Callable = lambda work: None) -> Enforcer:
    return Enforcer(slots, link, NODE, current_app.tasks, later)


# Limits


def only_who_is_over_his_limit_is_killed(link: Link) -> None:
    slots = Slots(8)
    with (
        child(slots, 0, uuid4(), uuid4(), limit=1.0) as late,
        child(slots, 1, uuid4(), uuid4(), limit=60.0) as within,
        child(slots, 2, uuid4(), uuid4()) as without,
    ):
        enforcer_of(slots, link).limits()
        assert dies(late)
        assert slots.read(1)
        assert is_alive(within)
        assert slots.read(2)
        assert is_alive(without)


def a_job_that_ended_meanwhile_costs_nobody_his_process(link: Link) -> None:
    slots = Slots(4)
    with child(slots, 0, uuid4(), uuid4(), limit=1.0) as pid:
        seen = slots.read(0)
        slots.write(0, seen.token, 1, time.monotonic())  # the child has gone on
        assert not enforcer_of(slots, link)._end(0, seen, lambda: None)
        assert not dies(pid)


def a_kill_is_written_before_its_lease_is_taken_back(link: Link) -> None:
    slots, job = Slots(4), new_job()
    token = won(link, [job])
    with child(slots, 0, token, job, limit=1.0):
        enforcer = enforcer_of(slots, link)
        enforcer.limits()
        assert slots.read(0) is None, "it is not killed twice"
        assert slots.begun(token) == 1
        enforcer.settle(token)
        assert row(job).state == "dead_letter"


# Cancelling


def who_is_cancelled_is_asked_and_has_its_grace(link: Link) -> None:
    slots, job = Slots(4), new_job()
    token = won(link, [job])
    cancel([job], actor="ada")
    with child(slots, 0, token, job) as pid:
        enforcer = enforcer_of(slots, link)
        with override_settings(JOBS_CANCEL_GRACE=0.0):
            enforcer.cancels()
            assert slots.is_to_stop(0, job)
        with override_settings(JOBS_CANCEL_GRACE=60.0):
            enforcer.cancels()
        assert not dies(pid)


def who_does_not_stop_in_its_grace_is_killed(link: Link) -> None:
    slots, job = Slots(4), new_job()
    token = won(link, [job])
    cancel([job], actor="ada")
    with child(slots, 0, token, job) as pid, override_settings(JOBS_CANCEL_GRACE=0.0):
        enforcer = enforcer_of(slots, link)
        enforcer.cancels()
        enforcer.cancels()
        assert dies(pid)
        enforcer.settle(token)
        assert row(job).state == "cancelled"


# Relief


def carried(link: Link, count: int = 3) -> tuple[Slots, UUID, list[UUID]]:
    """The first of some jobs has run for ten seconds, says its slot."""
    slots, jobs = Slots(4), [new_job() for _ in range(count)]
    token = won(link, jobs)
    announce(slots, token, jobs, 1)
    return slots, token, jobs


def announce(slots: Slots, token: UUID, jobs: list[UUID], number: int) -> None:
    began = time.monotonic() - 10
    slots.write(0, token, number, began, job_id=jobs[number - 1], behind=len(jobs) - number, since=began)


def jobs_behind_a_blocker_go_back_once_at_the_second_look(link: Link) -> None:
    slots, token, jobs = carried(link)
    later: list[Callable[[], None]] = []
    enforcer = enforcer_of(slots, link, later.append)
    assert enforcer.relieve()
    assert later == [], "the child may just have begun the next"
    assert slots.is_halted(0, token)
    enforcer.relieve()
    enforcer.relieve()
    assert len(later) == 1
    later.pop()()
    assert [row(job).state for job in jobs[1:]] == ["pending", "pending"]


def a_job_that_began_between_two_looks_is_kept(link: Link) -> None:
    slots, token, jobs = carried(link)
    later: list[Callable[[], None]] = []
    enforcer = enforcer_of(slots, link, later.append)
    enforcer.relieve()
    announce(slots, token, jobs, 2)
    enforcer.relieve()
    assert later == []


def within_its_budget_nobody_is_relieved(link: Link) -> None:
    slots, _, _ = carried(link)
    later: list[Callable[[], None]] = []
    with override_settings(JOBS_CARRIER_BUDGET=60.0):
        enforcer = enforcer_of(slots, link, later.append)
        enforcer.relieve()
        enforcer.relieve()
    assert later == []


def a_child_whose_lease_was_halted_begins_nothing_more(link: Link) -> None:
    jobs = [new_job() for _ in range(3)]
    token, begun = lease(link, jobs), []

    def halted(place: Place, run: Run) -> Outcome:
        begun.append(run.id)
        place.slots.halt(place.index, token)
        return outcome(run.id)

    with placed(link) as place:
        execute.carry(token, place, lambda run: halted(place, run))
    assert begun == jobs[:1]
    assert [row(job).state for job in jobs] == ["completed", "pending", "pending"]


# Children that ended


def a_dead_child_is_replaced_and_left_to_the_pool(link: Link) -> None:
    looks: list[bool] = []
    pool = SimpleNamespace(maintain_pool=lambda: looks.append(True))
    with suppress(ChildProcessError):
        while os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG):
            pass  # of other tests
    slots = Slots(4)
    with child(slots, 0, uuid4(), uuid4()) as pid:
        pools.replace_dead(pool)
        assert looks == [], "all are alive"
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(pid))
        pools.replace_dead(pool)
        assert looks == [True]
        assert os.path.exists(f"/proc/{pid}"), "the pool waits for it itself"


TABLE: dict[Scenario, list[Twin]] = {
    only_who_is_over_his_limit_is_killed: [
        Twin((Enforcer, "limits"), "now - running.started > running.limit", "False"),
        Twin((Enforcer, "limits"), " and now - running.started > running.limit", ""),
        Twin((Enforcer, "limits"), "running.limit and ", ""),
        Twin((Enforcer, "_end"), "os.kill(running.pid, signal.SIGKILL)", "pass"),
    ],
    a_job_that_ended_meanwhile_costs_nobody_his_process: [
        Twin((Enforcer, "_end"), "if not self._slots.unchanged(index, running):", "if False:")
    ],
    a_kill_is_written_before_its_lease_is_taken_back: [
        Twin((Enforcer, "_end"), "self._owed[running.token] = record", "pass"),
        Twin((Enforcer, "_end"), "self._slots.forget_job(index)", "pass"),
        Twin((Enforcer, "_end"), "self._slots.forget_job(index)", "self._slots.clear(index)"),
    ],
    who_is_cancelled_is_asked_and_has_its_grace: [
        Twin((Enforcer, "cancels"), "asked and ", ""),
        Twin((Enforcer, "cancels"), " and since > jobs_settings().cancel_grace", ""),
        Twin((Enforcer, "cancels"), "self._slots.ask_to_stop(index, job_id)", "pass"),
    ],
    who_does_not_stop_in_its_grace_is_killed: [
        Twin((Enforcer, "cancels"), "asked and since > jobs_settings().cancel_grace", "False"),
        Twin((Enforcer, "cancels"), "self._slots.ask_to_stop(index, job_id)", "pass"),
    ],
    jobs_behind_a_blocker_go_back_once_at_the_second_look: [
        Twin((Enforcer, "relieve"), "self._halted.get(token) == run", "True"),
        Twin((Enforcer, "relieve"), " and run.token not in self._relieved", ""),
        Twin((Enforcer, "relieve"), "self._slots.halt(index, token)", "pass"),
    ],
    a_job_that_began_between_two_looks_is_kept: [
        Twin((Enforcer, "relieve"), "self._halted.get(token) == run", "token in self._halted")
    ],
    within_its_budget_nobody_is_relieved: [Twin((Enforcer, "relieve"), " and now - run.since > budget", "")],
    a_child_whose_lease_was_halted_begins_nothing_more: [
        Twin((execute, "_announced"), "if place.slots.is_halted(place.index, lease.token):", "if False:")
    ],
    a_dead_child_is_replaced_and_left_to_the_pool: [
        Twin((pools, "replace_dead"), "if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):", "if True:"),
        Twin((pools, "replace_dead"), "if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):", "if False:"),
        Twin((pools, "replace_dead"), " | os.WNOWAIT", ""),
    ],
}

test_it_holds, test_it_does_not_without_its_guard = proofs(TABLE)
