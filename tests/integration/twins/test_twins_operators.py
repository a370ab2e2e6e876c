"""What operators and producers ask for: each guard has a scenario that holds with it and fails without it."""

from datetime import UTC, datetime, timedelta

from jobs.engine import cancel, requeue
from jobs.engine.enqueue import NewJob, enqueue
from jobs.engine.link import Link
from jobs.states import State
from tests.support.breaking import Scenario, Twin, proofs
from tests.support.engine import NODE, new_job, opened, outcome, row, won
from tests.support.rows import make_job
from tests.support.statements import finish, moved

NOW = datetime.now(UTC)
PAST = NOW - timedelta(hours=1)
FUTURE = NOW + timedelta(hours=1)
WAITS = "'scheduled', 'retrying'"
WAITING = "state IN ('scheduled', 'pending', 'paused', 'retrying')"


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


TABLE: dict[Scenario, list[Twin]] = {
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
        Twin("expire", "expires_at <= statement_timestamp() AND ", ""),
        Twin("expire", (f" AND {WAITING}", f" AND job.{WAITING}"), ""),
    ],
    what_is_not_due_is_not_promoted_nor_what_has_ended: [
        Twin("promote", " AND run_at <= statement_timestamp()", ""),
        Twin(
            "promote",
            ("job.state LIKE ANY (ARRAY['scheduled', 'retrying'])", "state IN ('scheduled', 'retrying')"),
            "true",
        ),
    ],
    a_sweep_leaves_rows_alone_that_someone_has_locked: [
        Twin("promote", " SKIP LOCKED", ""),
        Twin("expire", " SKIP LOCKED", ""),
    ],
}

test_it_holds, test_it_does_not_without_its_guard = proofs(TABLE)
