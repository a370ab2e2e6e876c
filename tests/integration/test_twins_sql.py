"""Each guard of a statement has a scenario that holds with it and fails without it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from jobs.conf import jobs_settings
from jobs.engine import cancel, requeue, sql, workers
from jobs.engine.dispatch import front
from jobs.engine.enqueue import NewJob, enqueue
from jobs.engine.finish import columns_of
from jobs.engine.link import Link
from jobs.engine.maintenance import lose
from jobs.models import Attempt, Worker
from jobs.policy import Outcome
from jobs.states import End, State
from tests.support.breaking import Scenario, Twin, must_fail, twins_of
from tests.support.engine import (
    NODE,
    empty_tables,
    hasten,
    lease,
    leases,
    new_job,
    opened,
    outcome,
    row,
    win,
    won,
)
from tests.support.rows import make_job, make_worker

NOW = datetime.now(UTC)
PAST = NOW - timedelta(hours=1)
FUTURE = NOW + timedelta(hours=1)
RETRY = {"state": State.RETRYING, "end": End.RETRIED, "spent": 1}


@pytest.fixture(scope="module")
def db(django_db_setup: None, django_db_blocker: Any) -> Iterator[Link]:
    """In place of pytest-django's: one connection for all, emptied by hand, which is many times quicker."""
    with django_db_blocker.unblock(), opened() as link:
        hasten(link)
        yield link


@pytest.fixture
def link(db: Link) -> Iterator[Link]:
    yield db
    sql.statement.cache_clear()
    empty_tables(db)


def finish(link: Link, token: UUID, *outcomes: Outcome, done: bool = True) -> set[UUID]:
    return {r[0] for r in link.rows("finish", **columns_of(outcomes, token=token, node=NODE, done=done))}


def lost(link: Link, token: UUID, *, won: bool = True, begun: int | None = None, strike: bool = True):
    return lose(link, token, jobs_settings(), won=won, begun=begun, reason="gone", strike=strike)


def moved(link: Link, name: str, **params: Any) -> list[UUID]:
    return [r[0] for r in link.rows(name, **params)]


def leased_twice(link: Link) -> tuple[UUID, UUID, UUID]:
    """A job whose first worker was presumed dead and whose second runs it: job, stale token, true token."""
    job = new_job()
    stale = won(link, [job])
    lost(link, stale)
    return job, stale, won(link, [job])


def untouched(job: UUID, token: UUID) -> None:
    found = row(job)
    assert (found.state, found.lease, found.attempt, found.progress) == ("running", token, 2, None)


# dispatch, front


def a_job_that_is_leased_already_is_not_leased_again(link: Link) -> None:
    job = new_job()
    token = won(link, [job])
    assert moved(link, "dispatch", queue="default", routing_key="x", ids=[job], tokens=[uuid4()]) == []
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


# finish, give_back


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


# lose, lost_leases


def a_lease_that_was_won_meanwhile_is_not_taken_back_as_unwon(link: Link) -> None:
    job = new_job()
    won(link, [job])
    assert lost(link, row(job).lease, won=False) == (0, 0, 0)
    assert row(job).state == State.RUNNING


def a_lost_lease_gives_back_only_what_it_still_holds(link: Link) -> None:
    jobs = [new_job(), new_job()]
    old = won(link, jobs)
    finish(link, old, outcome(jobs[0], **RETRY), done=False)
    link.rows("promote", limit=1, aging_us=1)
    new = lease(link, jobs[:1])
    assert lost(link, old) == (1, 0, 0)
    assert row(jobs[0]).lease == new


def what_had_not_begun_counts_no_attempt(link: Link) -> None:
    jobs = [new_job(), new_job()]
    assert lost(link, won(link, jobs), begun=1) == (1, 1, 0)
    assert [row(job).attempt for job in jobs] == [1, 0]
    assert Attempt.objects.count() == 1


def three_losses_alone_are_poison(link: Link) -> None:
    job = new_job()
    assert [lost(link, won(link, [job]))[2] for _ in range(3)] == [0, 0, 1]
    assert row(job).state == State.DEAD_LETTER


def losses_in_company_are_no_poison(link: Link) -> None:
    jobs = [make_job(strikes=2), new_job()]
    for _ in range(4):
        lost(link, won(link, jobs))
    assert [(row(job).state, row(job).strikes) for job in jobs] == [("pending", 2), ("pending", 0)]


def a_shutdown_is_no_strike(link: Link) -> None:
    job = make_job(strikes=2)
    lost(link, won(link, [job]), strike=False)
    assert (row(job).state, row(job).strikes) == ("pending", 2)


def a_lost_job_that_someone_wanted_to_cancel_is_cancelled_even_at_its_last_strike(link: Link) -> None:
    job = new_job()
    for _ in range(2):
        lost(link, won(link, [job]))
    token = won(link, [job])
    cancel([job], actor="ada")
    assert lost(link, token) == (1, 0, 0)
    assert row(job).state == State.CANCELLED


def only_leases_that_nobody_will_finish_are_lost(link: Link) -> None:
    busy = won(link, [new_job()])
    lease(link, [new_job()])
    late, dead = lease(link, [new_job()]), won(link, [new_job()], worker=make_worker(id=(boot := uuid4())))
    conn = link._open()
    conn.execute("UPDATE jobs_lease SET sent_at = %s WHERE token = ANY(%s)", (PAST, [late, busy]))
    conn.execute("UPDATE jobs_worker SET lost_at = now() WHERE id = %s", (boot,))
    assert set(link.rows("lost_leases", timeout=60.0, limit=10)) == {(late, False, True), (dead, True, True)}


def the_new_leader_sends_what_nobody_has_won(link: Link) -> None:
    won(link, [new_job()])
    token = lease(link, [new_job()])
    assert link.rows("unwon", limit=10) == [("jobs.any", token)]


# operators


def a_finished_job_cannot_be_cancelled(link: Link) -> None:
    job = new_job()
    finish(link, won(link, [job]), outcome(job))
    assert cancel([job], actor="ada") == ([], [])
    assert (row(job).state, row(job).cancel_requested_at) == ("completed", None)


def the_first_wish_to_cancel_is_the_one_that_counts(link: Link) -> None:
    job = new_job()
    won(link, [job])
    cancel([job], actor="ada")
    first = row(job).cancel_requested_at
    cancel([job], actor="bob")
    assert row(job).cancel_requested_at == first


def only_jobs_that_run_and_are_unwanted_are_stopped(link: Link) -> None:
    wanted, unwanted = new_job(), new_job()
    token = won(link, [wanted, unwanted])
    over = make_job(state="cancelled", cancel_requested_at=NOW)
    cancel([unwanted], actor="ada")
    assert moved(link, "cancel_requested", ids=[wanted, unwanted, over]) == [unwanted]
    assert row(wanted).lease == token


def a_job_that_lives_or_has_completed_cannot_be_requeued(link: Link) -> None:
    live, completed = new_job(), new_job()
    finish(link, won(link, [completed]), outcome(completed))
    assert requeue([live, completed], actor="ada") == []
    assert [row(job).epoch for job in (live, completed)] == [1, 1]


def a_new_life_knows_nothing_of_the_last(link: Link) -> None:
    for again in (lambda id_: requeue([id_], actor="ada"), lambda id_: enqueue(NewJob(task="t", id=id_))):
        job = make_job(state="dead_letter", attempt=3, retries=2, strikes=2, cancel_requested_at=NOW, error="x")
        again(job)
        found = row(job)
        assert (found.epoch, found.attempt, found.retries, found.strikes) == (2, 0, 0, 0)
        assert (found.cancel_requested_at, found.finished_at, found.error) == (None, None, None)


def forgetting_is_for_finished_jobs(link: Link) -> None:
    job = new_job()
    link.rows("progress", id=job, token=won(link, [job]), started_at=NOW, node=NODE, progress="1")
    link.rows("forget", id=job)
    assert row(job).progress == 1


# producers


def an_id_that_is_live_keeps_its_row(link: Link) -> None:
    job = new_job(task="first")
    enqueue(NewJob(task="second", id=job))
    assert (row(job).task, row(job).epoch) == ("first", 1)


# time


def what_is_not_late_does_not_expire_nor_what_has_started(link: Link) -> None:
    late, started = make_job(expires_at=PAST), make_job(state="running", expires_at=PAST)
    make_job(expires_at=FUTURE)
    assert moved(link, "expire", limit=10) == [late]
    assert row(started).state == State.RUNNING


def what_is_not_due_is_not_promoted_nor_what_has_ended(link: Link) -> None:
    due = make_job(state="retrying", run_at=PAST)
    make_job(state="scheduled", run_at=FUTURE)
    ended = make_job(state="cancelled", run_at=PAST)
    assert moved(link, "promote", limit=10, aging_us=1) == [due]
    assert row(ended).state == State.CANCELLED


def a_sweep_leaves_rows_alone_that_someone_has_locked(link: Link) -> None:
    make_job(state="scheduled", run_at=PAST, expires_at=PAST)
    with opened(lock_timeout=0.2) as other, link.transaction():
        link._open().execute("SELECT FROM jobs_job FOR UPDATE")
        assert moved(other, "promote", limit=10, aging_us=1) == []
        assert moved(other, "expire", limit=10) == []


# workers


def a_boot_that_ended_hears_of_it(link: Link) -> None:
    for ended in ("lost_at", "stopped_at"):
        assert not workers.heartbeat(link, make_worker(**{ended: NOW}), slots=1, stopping=False)


def a_heartbeat_at_the_last_moment_saves_its_worker(link: Link) -> None:
    boot = make_worker()
    seen = Worker.objects.get(pk=boot).heartbeat_at
    workers.heartbeat(link, boot, slots=1, stopping=False)
    assert link.rows("void", id=boot, seen=seen) == []


def a_worker_that_stopped_in_good_order_is_not_presumed_dead(link: Link) -> None:
    boot = make_worker(stopped_at=NOW)
    assert link.rows("void", id=boot, seen=Worker.objects.get(pk=boot).heartbeat_at) == []


def only_live_boots_are_watched(link: Link) -> None:
    make_worker(lost_at=NOW), make_worker(stopped_at=NOW)
    boot = make_worker()
    assert moved(link, "alive") == [boot]
    assert moved(link, "boots", host="test") == [boot]


def only_workers_that_answer_make_room(link: Link) -> None:
    make_worker(lost_at=NOW), make_worker(stopped_at=NOW), make_worker(stopping_at=NOW), make_worker(heartbeat_at=PAST)
    assert link.rows("window", timeout=60.0) == []


def a_boot_is_remembered_while_it_holds_a_lease_and_for_a_day(link: Link) -> None:
    long_ago = NOW - timedelta(days=2)
    make_worker(lost_at=long_ago)
    recent, holder = make_worker(stopped_at=NOW), make_worker()
    won(link, [new_job()], worker=holder)
    link._open().execute("UPDATE jobs_worker SET lost_at = %s WHERE id = %s", (long_ago, holder))
    link.rows("forget_workers")
    assert set(Worker.objects.values_list("id", flat=True)) == {recent, holder}


NOT_ENDED = " AND lost_at IS NULL AND stopped_at IS NULL"
NOT_OVER = "stopped_at IS NULL AND lost_at IS NULL"
WAITING = "state IN ('scheduled', 'pending', 'retrying')"

TABLE: dict[Scenario, list[Twin]] = {
    a_job_that_is_leased_already_is_not_leased_again: [Twin("dispatch", " AND job.state = 'pending'", "")],
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
    a_message_is_won_once: [Twin("win", " AND (lease.won_at IS NULL OR lease.receipt = %(receipt)s)", "")],
    a_win_whose_reply_was_lost_is_won_again: [Twin("win", " OR lease.receipt = %(receipt)s", "")],
    a_boot_that_was_presumed_dead_wins_nothing: [Twin("win", " AND lost_at IS NULL", "")],
    a_boot_that_has_stopped_wins_nothing: [Twin("win", " AND stopped_at IS NULL", "")],
    an_old_win_that_is_repeated_does_not_start_the_next_run: [Twin("win", " AND job.lease = won.token", "")],
    jobs_in_company_start_one_by_one: [Twin("win", "cardinality(won.job_ids) = 1 AND ", "")],
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
    a_lease_that_was_won_meanwhile_is_not_taken_back_as_unwon: [
        Twin("lose", " AND (won_at IS NOT NULL) = %(won)s", " AND %(won)s IS NOT NULL")
    ],
    a_lost_lease_gives_back_only_what_it_still_holds: [
        Twin("lose", ("job.lease = taken.token", "job.lease = %(token)s"), "true"),
    ],
    what_had_not_begun_counts_no_attempt: [
        Twin("lose", "coalesce(%(begun)s, cardinality(taken.job_ids))", "coalesce(%(begun)s, 0) + 100"),
        Twin("lose", "CASE WHEN judged.begun THEN job.attempt ELSE job.attempt - 1 END", "job.attempt"),
        Twin("lose", "FROM moved WHERE begun", "FROM moved"),
    ],
    three_losses_alone_are_poison: [
        Twin("lose", "job.strikes + 1 >= %(poison_after)s", "job.strikes > %(poison_after)s"),
        Twin("lose", "job.strikes + 1 >= %(poison_after)s", "%(poison_after)s > 0"),
        Twin("lose", "job.strikes + (%(strike)s AND judged.begun AND judged.alone)::int", "job.strikes"),
    ],
    losses_in_company_are_no_poison: [
        Twin("lose", " AND held.alone", ""),
        Twin("lose", " AND judged.alone", ""),
    ],
    a_shutdown_is_no_strike: [
        Twin("lose", "%(strike)s AND held", "%(strike)s IS NOT NULL AND held"),
        Twin("lose", "(%(strike)s AND ", "("),
    ],
    a_lost_job_that_someone_wanted_to_cancel_is_cancelled_even_at_its_last_strike: [
        Twin("lose", " AND NOT unwanted", ""),
        Twin("lose", " WHEN judged.unwanted THEN 'cancelled'", ""),
    ],
    only_leases_that_nobody_will_finish_are_lost: [
        Twin("lost_leases", "lease.won_at IS NULL AND ", ""),
        Twin("lost_leases", " AND lease.sent_at < clock_timestamp() - make_interval(secs => %(timeout)s)", ""),
        Twin("lost_leases", " OR worker.lost_at IS NOT NULL", ""),
        Twin("lost_leases", "lease.won_at IS NOT NULL AND (worker", "(true OR worker"),
    ],
    the_new_leader_sends_what_nobody_has_won: [Twin("unwon", "WHERE won_at IS NULL", "")],
    a_finished_job_cannot_be_cancelled: [
        Twin("cancel", " AND state = ANY(%(sources)s)", ""),
        Twin("request_cancel", " AND state IN ('dispatched', 'running')", ""),
    ],
    the_first_wish_to_cancel_is_the_one_that_counts: [
        Twin("request_cancel", "coalesce(job.cancel_requested_at, clock_timestamp())", "clock_timestamp()")
    ],
    only_jobs_that_run_and_are_unwanted_are_stopped: [
        Twin("cancel_requested", " AND cancel_requested_at IS NOT NULL", ""),
        Twin("cancel_requested", " AND lease IS NOT NULL", ""),
    ],
    a_job_that_lives_or_has_completed_cannot_be_requeued: [Twin("requeue", "job.state = ANY(%(sources)s) AND ", "")],
    a_new_life_knows_nothing_of_the_last: [
        Twin("requeue", "epoch = job.epoch + 1, ", ""),
        Twin("requeue", "strikes = 0, ", ""),
        Twin("requeue", ", cancel_requested_at = NULL", ""),
        Twin("insert_all", "strikes = 0, ", ""),
        Twin("insert_all", ", cancel_requested_at = NULL", ""),
    ],
    forgetting_is_for_finished_jobs: [Twin("forget", " AND finished_at IS NOT NULL", "")],
    an_id_that_is_live_keeps_its_row: [Twin("insert_all", "job.finished_at IS NOT NULL", "true")],
    what_is_not_late_does_not_expire_nor_what_has_started: [
        Twin("expire", "expires_at <= clock_timestamp() AND ", ""),
        Twin("expire", (f" AND {WAITING}", f" AND job.{WAITING}"), ""),
    ],
    what_is_not_due_is_not_promoted_nor_what_has_ended: [
        Twin("promote", " AND run_at <= clock_timestamp()", ""),
        Twin("promote", ("job.state IN ('scheduled', 'retrying')", "state IN ('scheduled', 'retrying')"), "true"),
    ],
    a_sweep_leaves_rows_alone_that_someone_has_locked: [
        Twin("promote", " SKIP LOCKED", ""),
        Twin("expire", " SKIP LOCKED", ""),
    ],
    a_boot_that_ended_hears_of_it: [
        Twin("heartbeat", " AND lost_at IS NULL", ""),
        Twin("heartbeat", " AND stopped_at IS NULL", ""),
    ],
    a_heartbeat_at_the_last_moment_saves_its_worker: [Twin("void", " AND heartbeat_at = %(seen)s", "")],
    a_worker_that_stopped_in_good_order_is_not_presumed_dead: [Twin("void", " AND stopped_at IS NULL", "")],
    only_live_boots_are_watched: [
        Twin("alive", NOT_OVER, "true"),
        Twin("boots", f" AND {NOT_OVER}", ""),
    ],
    only_workers_that_answer_make_room: [
        Twin("window", "worker.stopping_at IS NULL AND ", ""),
        Twin("window", "worker.stopped_at IS NULL AND ", ""),
        Twin("window", " AND worker.lost_at IS NULL", ""),
        Twin("window", " AND worker.heartbeat_at > clock_timestamp() - make_interval(secs => %(timeout)s)", ""),
    ],
    a_boot_is_remembered_while_it_holds_a_lease_and_for_a_day: [
        Twin("forget_workers", "AND NOT EXISTS (SELECT FROM jobs_lease WHERE jobs_lease.worker = worker.id)", ""),
        Twin("forget_workers", "< clock_timestamp() - interval '1 day'", "IS NOT NULL"),
    ],
}


@pytest.mark.parametrize("scenario", TABLE, ids=lambda scenario: scenario.__name__)
def test_it_holds(link: Link, scenario: Scenario) -> None:
    scenario(link)


@pytest.mark.parametrize(("scenario", "twin"), twins_of(TABLE))
def test_it_does_not_without_its_guard(
    link: Link, scenario: Scenario, twin: Twin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    twin.apply(monkeypatch, tmp_path)
    must_fail(scenario, link)


def test_a_guard_that_is_written_otherwise_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="is gone or is written otherwise"):
        Twin("win", "a guard of last year", "").apply(monkeypatch, tmp_path)
