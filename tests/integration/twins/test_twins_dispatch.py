"""Leasing, winning, starting: each guard has a scenario that holds with it and fails without it."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from django.db import transaction

from jobs.engine.dispatch import front
from jobs.engine.link import Link
from jobs.states import End, State
from tests.support.breaking import Scenario, Twin, proofs
from tests.support.engine import NODE, lease, new_job, opened, outcome, row, win, won
from tests.support.rows import make_worker
from tests.support.statements import finish, leased_twice, lost, moved, untouched

NOW = datetime.now(UTC)
PAST = NOW - timedelta(hours=1)
RETRY = {"state": State.RETRYING, "end": End.RETRIED, "spent": 1}


# dispatch, front


def a_job_that_is_leased_already_is_not_leased_again(link: Link) -> None:
    job = new_job()
    token = won(link, [job])
    plan = {"ids": [job], "tokens": [uuid4()], "places": None}
    assert moved(link, "dispatch", queue="default", routing_key="x", **plan) == []
    assert row(job).lease == token


def the_front_has_pending_jobs_of_its_queue_that_are_not_late(link: Link) -> None:
    pending = new_job()
    won(link, [new_job()])
    new_job(queue="other")
    new_job(expires_at=PAST)
    assert [found.id for found in front(link, "default", limit=10)] == [pending]


def the_best_rank_is_in_front(link: Link) -> None:
    jobs = [new_job(priority=priority) for priority in (0, 30, 10)]
    assert [found.id for found in front(link, "default", limit=10)] == [jobs[1], jobs[2], jobs[0]]


def two_dispatchers_do_not_wait_for_each_other(link: Link) -> None:
    jobs = [new_job(), new_job()]
    with opened(lock_timeout=0.2) as other, link.transaction():
        assert [found.id for found in front(link, "default", limit=1)] == jobs[:1]
        assert [found.id for found in front(other, "default", limit=1)] == jobs[1:]


def one_dispatcher_leads(link: Link) -> None:
    with opened() as first, opened() as other:
        assert moved(first, "lead", family=7, key=7) == [True]
        assert moved(other, "lead", family=7, key=7) == [False]


def a_round_begins_with_the_queues_that_have_work(link: Link) -> None:
    new_job(queue="a"), new_job(queue="c")
    won(link, [new_job(queue="b")])
    assert moved(link, "ready_queues") == ["a", "c"]


def only_what_no_worker_has_is_taken_back_for_a_cancel(link: Link) -> None:
    running, waiting, other = new_job(), new_job(), new_job()
    won(link, [running, new_job()])
    token = lease(link, [waiting])
    lease(link, [other])
    assert moved(link, "unwon_of", ids=[running, waiting]) == [token]
    with opened(lock_timeout=0.2) as busy, link.transaction():
        link._open().execute("SELECT FROM jobs_lease FOR UPDATE")
        assert moved(busy, "unwon_of", ids=[waiting]) == []


def a_caller_is_warned_of_jobs_that_only_he_can_see(link: Link) -> None:
    seen, other = new_job(), new_job()
    with transaction.atomic():
        unseen = new_job()
        assert moved(link, "committed", ids=[seen, unseen]) == [seen]
    assert other


# win


def a_message_is_won_once(link: Link) -> None:
    token = lease(link, [new_job()])
    assert win(link, token)
    assert not win(link, token)


def a_win_whose_reply_was_lost_is_won_again(link: Link) -> None:
    token, receipt, boot = lease(link, [new_job()]), uuid4(), make_worker()
    for _ in range(2):
        assert link.rows("win", token=token, worker=boot, node=NODE, receipt=receipt)


def a_boot_that_was_presumed_dead_wins_nothing(link: Link) -> None:
    assert not win(link, lease(link, [new_job()]), worker=make_worker(lost_at=NOW))


def a_boot_that_has_stopped_wins_nothing(link: Link) -> None:
    assert not win(link, lease(link, [new_job()]), worker=make_worker(stopped_at=NOW))


def an_old_win_that_is_repeated_does_not_start_the_next_run(link: Link) -> None:
    job, receipt, boot = new_job(), uuid4(), make_worker()
    old = lease(link, [job])
    link.rows("win", token=old, worker=boot, node=NODE, receipt=receipt)
    finish(link, old, outcome(job, **RETRY), done=False)
    assert moved(link, "promote", limit=1, aging_us=1) == [job]
    lease(link, [job])
    link.rows("win", token=old, worker=boot, node=NODE, receipt=receipt)
    assert row(job).state == State.DISPATCHED


def a_short_job_alone_is_not_written_twice(link: Link) -> None:
    job = new_job()
    assert win(link, lease(link, [job], place=0.5))[0][3] is False, "the recorder writes its start if it is late"
    assert row(job).state == "dispatched"


def jobs_in_company_start_one_by_one(link: Link) -> None:
    jobs = [new_job(), new_job()]
    won(link, jobs)
    assert {row(job).state for job in jobs} == {State.DISPATCHED}


# start, progress, fetch, held


def a_stale_worker_starts_nothing(link: Link) -> None:
    job, other = new_job(), new_job()
    stale = won(link, [job, other])
    lost(link, stale, begun=0)
    lease(link, [job, other])
    link.rows("start", id=job, token=stale, started_at=PAST, node="stale")
    assert row(job).state == State.DISPATCHED


def a_job_that_runs_keeps_its_start(link: Link) -> None:
    job = new_job()
    token = won(link, [job])
    began = row(job).started_at
    link.rows("start", id=job, token=token, started_at=PAST, node=NODE)
    link.rows("progress", id=job, token=token, started_at=PAST, node=NODE, progress="1")
    assert row(job).started_at == began


def a_stale_worker_reports_no_progress(link: Link) -> None:
    job, stale, true = leased_twice(link)
    link.rows("progress", id=job, token=stale, started_at=PAST, node=NODE, progress="1")
    untouched(job, true)


def a_stale_worker_reads_nothing(link: Link) -> None:
    job, stale, _ = leased_twice(link)
    assert link.rows("fetch", ids=[job], token=stale) == []
    assert link.rows("held", id=job, token=stale) == []


TABLE: dict[Scenario, list[Twin]] = {
    a_job_that_is_leased_already_is_not_leased_again: [Twin("dispatch", " AND job.state LIKE 'pending'", "")],
    the_front_has_pending_jobs_of_its_queue_that_are_not_late: [
        Twin("front", "state = 'pending' AND ", ""),
        Twin("front", " AND queue = %(queue)s AND (rank", " AND (rank"),
        Twin("front", " AND (expires_at IS NULL OR expires_at > clock_timestamp())", ""),
    ],
    the_best_rank_is_in_front: [Twin("front", "ORDER BY rank, id", "ORDER BY id")],
    two_dispatchers_do_not_wait_for_each_other: [
        Twin("front", " SKIP LOCKED", ""),
        Twin("front", "FOR NO KEY UPDATE SKIP LOCKED", ""),
    ],
    one_dispatcher_leads: [Twin("lead", "pg_try_advisory_lock(%(family)s, %(key)s)", "true")],
    a_round_begins_with_the_queues_that_have_work: [
        Twin("ready_queues", "state = 'pending'", "true"),
    ],
    only_what_no_worker_has_is_taken_back_for_a_cancel: [
        Twin("unwon_of", "won_at IS NULL", "true"),
        Twin("unwon_of", "id = ANY(%(ids)s) AND ", ""),
        Twin("unwon_of", " SKIP LOCKED", ""),
    ],
    a_caller_is_warned_of_jobs_that_only_he_can_see: [Twin("committed", " WHERE id = ANY(%(ids)s)", "")],
    a_message_is_won_once: [Twin("win", " AND (lease.won_at IS NULL OR lease.receipt = %(receipt)s)", "")],
    a_win_whose_reply_was_lost_is_won_again: [Twin("win", " OR lease.receipt = %(receipt)s", "")],
    a_boot_that_was_presumed_dead_wins_nothing: [Twin("win", " AND lost_at IS NULL", "")],
    a_boot_that_has_stopped_wins_nothing: [Twin("win", " AND stopped_at IS NULL", "")],
    an_old_win_that_is_repeated_does_not_start_the_next_run: [Twin("win", " AND job.lease = won.token", "")],
    jobs_in_company_start_one_by_one: [Twin("win", "cardinality(lease.job_ids) = 1 AND ", "")],
    a_short_job_alone_is_not_written_twice: [Twin("win", " AND lease.place >= 1", "")],
    a_stale_worker_starts_nothing: [Twin("start", " AND lease = %(token)s", "")],
    a_job_that_runs_keeps_its_start: [
        Twin("start", " AND state = 'dispatched'", ""),
        Twin("progress", "coalesce(started_at, %(started_at)s)", "%(started_at)s"),
    ],
    a_stale_worker_reports_no_progress: [Twin("progress", " AND lease = %(token)s", "")],
    a_stale_worker_reads_nothing: [
        Twin("fetch", " AND lease = %(token)s", ""),
        Twin("held", " AND lease = %(token)s", ""),
    ],
}

test_it_holds, test_it_does_not_without_its_guard = proofs(TABLE)
