"""The worker's main process ends a job of a child: the right one, recorded before its lease is taken back."""

import os
import signal
import time
from collections.abc import Callable
from uuid import UUID

import pytest
from celery import chain, current_app

from jobs.app.enforcer import Enforcer
from jobs.conf import jobs_settings
from jobs.engine.link import Link
from jobs.engine.maintenance import lose
from jobs.engine.newjob import job_key
from jobs.engine.slots import Slots
from jobs.models import Job
from tests.support.engine import NODE, new_job, row, won
from tests.support.odd_tasks import boom, echo, errback
from tests.support.wait import wait_until


@pytest.fixture
def slots() -> Slots:
    return Slots(4)


def child(slots: Slots, token: UUID, job_id: UUID) -> int:
    """A process that is over the time limit of its job and hears nothing. Returns its id."""
    pid = os.fork()
    if pid == 0:
        slots.write(0, token, 1, time.monotonic() - 10, job_id=job_id, limit=1.0)
        while True:
            signal.pause()
    wait_until(lambda: slots.read(0) is not None, what="the child in its slot")
    return pid


def test_a_kill_is_noted_before_the_death_and_written_before_the_lease_goes(link: Link, slots: Slots) -> None:
    job_id = new_job(max_retries=0)
    token = won(link, [job_id])
    noted: list[Callable[[], None]] = []
    enforcer = Enforcer(slots, link, NODE, current_app.tasks, noted.append)
    pid = child(slots, token, job_id)
    enforcer.limits()
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    assert len(noted) == 1
    assert slots.read(0) is None
    assert slots.begun(token) == 1
    # The main loop saw the death first, and the queued note has not been written yet.
    enforcer.settle(token)
    assert lose(link, token, jobs_settings(), won=True, begun=1, reason="child died") == (0, 0, 0)
    noted[0]()
    job = row(job_id)
    assert (job.state, job.strikes, job.attempts.count()) == ("dead_letter", 0, 1)


def test_a_job_that_ended_meanwhile_costs_nobody_his_process(link: Link, slots: Slots) -> None:
    job_id = new_job()
    token = won(link, [job_id])
    enforcer = Enforcer(slots, link, NODE, current_app.tasks, lambda work: None)
    pid = child(slots, token, job_id)
    seen = slots.read(0)
    slots.write(0, token, 1, time.monotonic())  # the child has gone on
    assert seen is not None
    assert enforcer._end(0, seen, lambda: None) is False
    os.kill(pid, 0)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@pytest.mark.parametrize(("retries", "called"), [(0, 1), (1, 0)])
def test_a_job_killed_for_good_calls_its_errbacks_and_ends_its_chain(
    link: Link, slots: Slots, retries: int, called: int
) -> None:
    last = chain(boom.si().set(link_error=[errback.s()], max_retries=retries), echo.s())()
    job_id = job_key(last.parent.id)
    token = won(link, [job_id])
    enforcer = Enforcer(slots, link, NODE, current_app.tasks, lambda work: None)
    pid = child(slots, token, job_id)
    enforcer.limits()
    os.waitpid(pid, 0)
    enforcer.settle(token)
    assert list(Job.objects.filter(task=errback.name).values_list("args", flat=True)) == [f'["{job_id}"]'] * called
    assert Job.objects.filter(pk=job_key(last.id), state="failed").count() == called


def test_a_limit_that_this_pool_cannot_keep_is_said_once_and_ends_nobody(link: Link, slots: Slots, caplog) -> None:
    """Of a pool of threads: the slot's process is the worker itself."""
    job_id = new_job()
    token = won(link, [job_id])
    slots.write(0, token, 1, time.monotonic() - 60.0, job_id=job_id, limit=0.1)
    enforcer = Enforcer(slots, link, NODE, current_app.tasks, lambda work: None)
    for _ in range(2):
        enforcer.limits()
    assert caplog.text.count("over its time limit, but this pool can't enforce it") == 1
    seen = slots.read(0)
    assert seen is not None
    assert (seen.token, seen.limit) == (token, 0.0)
    assert row(job_id).lease == token
