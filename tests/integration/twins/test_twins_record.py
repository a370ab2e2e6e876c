"""Outcomes and jobs given back: each guard has a scenario that holds with it and fails without it."""

from jobs.engine import cancel
from jobs.engine.enqueue import NewJob, enqueue
from jobs.engine.link import Link
from jobs.models import Attempt
from jobs.states import End, State
from tests.support.breaking import Scenario, Twin, proofs
from tests.support.engine import lease, leases, new_job, outcome, row, won
from tests.support.statements import finish, leased_twice, lost, moved, untouched

RETRY = {"state": State.RETRYING, "end": End.RETRIED, "spent": 1}


def a_stale_outcome_changes_nothing(link: Link) -> None:
    job, stale, true = leased_twice(link)
    assert finish(link, stale, outcome(job)) == set()
    untouched(job, true)


def a_partial_flush_keeps_the_lease(link: Link) -> None:
    jobs = [new_job(), new_job()]
    token = won(link, jobs)
    finish(link, token, outcome(jobs[0]), done=False)
    assert leases() == [token]


def a_job_that_someone_wanted_to_cancel_is_not_retried(link: Link) -> None:
    job = new_job()
    token = won(link, [job])
    cancel([job], actor="ada")
    finish(link, token, outcome(job, **RETRY))
    assert (row(job).state, row(job).run_at) == ("cancelled", None)
    assert row(job).finished_at is not None


def a_result_in_hand_counts_for_more_than_a_wish_to_cancel(link: Link) -> None:
    job = new_job()
    token = won(link, [job])
    cancel([job], actor="ada")
    finish(link, token, outcome(job))
    assert row(job).state == State.COMPLETED


def every_outcome_leaves_an_attempt_that_no_later_one_rewrites(link: Link) -> None:
    job = new_job()
    finish(link, won(link, [job]), outcome(job))
    enqueue(NewJob(task="t", id=job))
    finish(link, won(link, [job]), outcome(job))
    assert sorted(Attempt.objects.values_list("epoch", "number")) == [(1, 1), (2, 1)]


def a_stale_worker_gives_nothing_back(link: Link) -> None:
    jobs = [new_job(), new_job()]
    stale = won(link, jobs)
    lost(link, stale)
    true = lease(link, jobs)
    assert moved(link, "give_back", ids=jobs, token=stale) == []
    assert {row(job).lease for job in jobs} == {true}


def a_job_that_runs_is_not_given_back(link: Link) -> None:
    job = new_job()
    token = won(link, [job])
    assert moved(link, "give_back", ids=[job], token=token) == []
    assert row(job).state == State.RUNNING


def a_job_that_someone_wanted_to_cancel_is_not_given_back_to_others(link: Link) -> None:
    jobs = [new_job(), new_job()]
    token = won(link, jobs)
    cancel(jobs[:1], actor="ada")
    link.rows("give_back", ids=jobs, token=token)
    assert [row(job).state for job in jobs] == ["cancelled", "pending"]


TABLE: dict[Scenario, list[Twin]] = {
    a_stale_outcome_changes_nothing: [Twin("finish", " AND job.lease = %(token)s", "")],
    a_partial_flush_keeps_the_lease: [Twin("finish", " AND %(done)s", "")],
    a_job_that_someone_wanted_to_cancel_is_not_retried: [
        Twin("finish", "outcome.final OR job.cancel_requested_at IS NULL", "true"),
        Twin("finish", "outcome.final OR job.cancel_requested_at IS NOT NULL", "outcome.final"),
        Twin(
            "finish",
            "outcome.state IN ('retrying', 'scheduled') AND job.cancel_requested_at IS NULL",
            "outcome.state IN ('retrying', 'scheduled')",
        ),
    ],
    a_result_in_hand_counts_for_more_than_a_wish_to_cancel: [
        Twin("finish", "outcome.final OR job.cancel_requested_at IS NULL", "job.cancel_requested_at IS NULL")
    ],
    every_outcome_leaves_an_attempt_that_no_later_one_rewrites: [
        Twin("insert_all", "epoch = job.epoch + 1, ", ""),
        Twin("finish", "SELECT id, epoch, attempt, %(node)s", "SELECT id, 1, attempt, %(node)s"),
    ],
    a_stale_worker_gives_nothing_back: [
        Twin("give_back", (" AND lease = %(token)s", " AND job.lease = %(token)s"), "")
    ],
    a_job_that_runs_is_not_given_back: [
        Twin("give_back", (" AND state = 'dispatched'", " AND job.state = 'dispatched'"), "")
    ],
    a_job_that_someone_wanted_to_cancel_is_not_given_back_to_others: [
        Twin("give_back", "CASE WHEN cancel_requested_at IS NULL THEN 'pending' ELSE 'cancelled' END", "'pending'")
    ],
}

test_it_holds, test_it_does_not_without_its_guard = proofs(TABLE)
