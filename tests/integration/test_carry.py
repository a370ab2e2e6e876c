"""A carrier from its win to its end: cut off, unreadable, too long, untidy."""

import struct
import time

import pytest
from celery import current_app
from django.db import connection

from jobs.app.runner import Runner
from jobs.engine.enqueue import enqueue
from jobs.engine.execute import Run, carry
from jobs.engine.link import Link
from jobs.engine.newjob import NewJob, job_key
from jobs.models import Job, Lease
from jobs.policy import Outcome
from tests.support.engine import lease, new_job, outcome, placed, row, run, run_result
from tests.support.odd_tasks import (
    SEEN,
    ask,
    calls,
    echo,
    leaves_a_block_open,
    raises,
    reads_users,
)
from tests.support.statements import lost
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("odd")


@pytest.mark.parametrize("how", ["atomic", "autocommit", "closed"])
def test_the_next_job_has_a_clean_connection_whatever_the_last_one_left(link: Link, how: str) -> None:
    jobs = [job_key(task.id) for task in (leaves_a_block_open.delay(how), reads_users.delay())]
    run(link, *jobs)
    assert [row(job).state for job in jobs] == ["completed", "completed"]
    assert row(jobs[1]).result == "0"


def test_a_run_that_is_cut_off_keeps_its_lease_until_it_is_taken_back(link: Link) -> None:
    jobs = [job_key(task.id) for task in (echo.delay(1), raises.delay("exit"), echo.delay(2))]
    token = lease(link, jobs)
    with placed(link) as place:
        runner = Runner(current_app._get_current_object(), place)

        def stopping(run):
            place.slots.stopping = run.task == raises.name
            return runner(run)

        with pytest.raises(SystemExit):
            carry(token, place, stopping)
        assert place.slots.begun(token) == 2
    assert [row(job).lease for job in jobs] == [None, token, None]
    assert [row(job).state for job in (jobs[0], jobs[2])] == ["completed", "pending"]
    assert lost(link, token, begun=2) == (1, 0, 0)
    assert [row(job).state for job in jobs] == ["completed", "pending", "pending"]


def test_a_finished_job_is_on_record_within_100_ms_while_the_next_one_blocks(link: Link, settings) -> None:
    settings.JOBS_CARRIER_BUDGET = 60
    jobs = [new_job() for _ in range(8)]
    waited: list[float] = []

    def blocks_until_the_last_one_is_seen(run: Run) -> Outcome:
        if before := jobs[: jobs.index(run.id)]:
            since = time.monotonic()
            wait_until(lambda: row(before[-1]).state == "completed", within=5, what="the job before on record")
            waited.append(time.monotonic() - since)
        return outcome(run.id)

    token = lease(link, jobs)
    with placed(link) as place:
        assert carry(token, place, blocks_until_the_last_one_is_seen) == 8
    # The quickest of them: a busy machine may hold any one up, but not all.
    assert min(waited) < 0.1, waited


def test_arguments_of_a_type_that_this_worker_does_not_know_harm_no_neighbour(link: Link) -> None:
    jobs = [enqueue(NewJob(task=echo.name, args='[{"__type__": "later", "__value__": 1}]')), job_key(echo.delay(1).id)]
    run(link, *jobs)
    assert [row(job).state for job in jobs] == ["dead_letter", "completed"]
    assert "No worker here can read the job's arguments" in row(jobs[0]).error


def test_a_job_that_cannot_be_begun_keeps_its_lease_until_it_is_taken_back(link: Link) -> None:
    job = enqueue(NewJob(task=echo.name, options='{"time_limit": "soon"}'))
    token = lease(link, [job])
    with placed(link) as place, pytest.raises(struct.error):
        carry(token, place, Runner(current_app._get_current_object(), place))
    assert (row(job).state, row(job).lease) == ("running", token)
    assert Lease.objects.filter(token=token).exists(), "nobody would ever take it back"


def test_times_are_never_ahead_of_the_databases_however_long_the_win_took(link: Link) -> None:
    job = job_key(echo.delay(1).id)
    token = lease(link, [job])
    with placed(link) as place:
        with connection.cursor() as cursor:  # the first try fails, the second comes a while later
            cursor.execute("SELECT pg_terminate_backend(%s)", [link._open().info.backend_pid])
        carry(token, place, Runner(current_app._get_current_object(), place))
    assert row(job).started_at <= row(job).finished_at <= row(job).updated_at


def test_long_arguments_and_options_stay_out_of_the_carrier(link: Link) -> None:
    big = "x" * 300_000
    jobs = [
        job_key(echo.delay(big).id),
        job_key(ask.apply_async(("headers",), headers={"big": big}).id),
        job_key(echo.delay(1).id),
    ]
    token = lease(link, jobs)
    assert len(Lease.objects.get(token=token).payload) < 2_000
    with placed(link) as place:
        carry(token, place, Runner(current_app._get_current_object(), place))
    assert [row(job).state for job in jobs] == ["completed"] * 3
    assert len(SEEN[0][0][0]) == len(big)
    assert len(row(jobs[1]).result) > len(big)


def test_what_the_main_process_took_back_is_not_started(link: Link) -> None:
    jobs = [job_key(echo.delay(n).id) for n in range(2)]
    token = lease(link, jobs)
    with placed(link) as place:
        runner = Runner(current_app._get_current_object(), place)

        def halted_meanwhile(run):
            place.slots.halt(place.index, token)
            return runner(run)

        assert carry(token, place, halted_meanwhile) == 1
    assert [(row(job).state, row(job).attempt) for job in jobs] == [("completed", 1), ("pending", 0)]


def test_children_too_many_to_keep_cost_the_job_nothing(link: Link, settings, caplog) -> None:
    settings.JOBS_MAX_PAYLOAD = 1024
    job = run_result(link, calls.delay(50))
    assert (job.state, job.children, Job.objects.count()) == ("completed", None, 51)
    assert "a job's children are not kept" in caplog.text
