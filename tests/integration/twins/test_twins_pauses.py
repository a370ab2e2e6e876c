"""Pausing, resuming, postponing: each guard has a scenario that holds with it and fails without it."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from jobs.engine import cancel, pause, postpone
from jobs.engine.dispatch import front
from jobs.engine.link import Link
from jobs.models import Pause, Queue
from tests.support.breaking import Scenario, Twin, proofs
from tests.support.engine import new_job, opened, row
from tests.support.rows import make_job
from tests.support.statements import moved

NOW = datetime.now(UTC)
PAST, FUTURE = NOW - timedelta(hours=1), NOW + timedelta(hours=1)


def paused_task(task: str, **columns: object) -> int:
    pause("task", task, actor="ada")
    Pause.objects.filter(name=task).update(**columns)
    return Pause.objects.get(name=task).pk


def held(link: Link, *, queue: str = "default", limit: int = 10) -> int:
    return sum(found[3] for found in link.rows("hold", queue=queue, limit=limit))


def ready(link: Link) -> list[UUID]:
    with link.transaction():
        return [found.id for found in front(link, "default", limit=10)]


def a_claim_leaves_out_what_is_paused_now(link: Link) -> None:
    paused_task("shop.bill")
    paused_task("shop.ship", until=PAST)
    new_job(task="shop.bill")
    goes = new_job(task="shop.ship")
    assert ready(link) == [goes]


def a_claim_ends_where_it_is_told_to(link: Link) -> None:
    first, _ = new_job(priority=20), new_job()
    with link.transaction():
        assert [found.id for found in front(link, "default", limit=10, end=(row(first).rank, first))] == [first]


def only_pending_jobs_of_a_pause_that_stands_are_set_aside(link: Link) -> None:
    number = paused_task("shop.bill")
    paused_task("shop.ship", until=PAST)
    job, other = new_job(task="shop.bill"), new_job(task="shop.ship")
    over = make_job(task="shop.bill", state="completed")
    elsewhere = new_job(task="shop.bill", queue="other")
    assert held(link) == 1
    assert [row(id_).state for id_ in (job, other, over, elsewhere)] == ["paused", "pending", "completed", "pending"]
    assert row(job).pause == number


def nobody_waits_for_a_row_that_someone_has_locked(link: Link) -> None:
    paused_task("shop.bill")
    new_job(task="shop.bill")
    make_job(state="paused", pause=-1)
    with opened(lock_timeout=0.2) as other, link.transaction():
        link._open().execute("SELECT FROM jobs_job FOR UPDATE")
        assert held(other) == 0
        assert moved(other, "resume", limit=10) == []


def jobs_are_let_go_when_their_own_pause_is_over(link: Link) -> None:
    stands, over = paused_task("shop.bill"), paused_task("shop.ship", until=PAST)
    kept = make_job(task="shop.bill", state="paused", pause=stands)
    free = make_job(task="shop.ship", state="paused", pause=over)
    assert moved(link, "resume", limit=10) == [free]
    assert (row(kept).state, row(free).pause) == ("paused", None)
    assert [pause.pk for pause in Pause.objects.all()] == [stands]


def a_job_that_is_let_go_is_ranked_by_the_aging_of_its_queue(link: Link) -> None:
    Queue.objects.create(name="default", aging_us=7)
    job = make_job(state="paused", pause=-1, priority=3, ready_at=datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
    link.rows("resume", limit=10)
    assert row(job).rank == 1_000_000 - 21


def what_ends_or_is_postponed_is_held_by_no_pause(link: Link) -> None:
    jobs = [make_job(state="paused", pause=-1, expires_at=at) for at in (None, None, PAST)]
    assert cancel(jobs[:1], actor="ada").now == jobs[:1]
    assert list(postpone(jobs[1:2], FUTURE, actor="ada")) == jobs[1:2]
    assert moved(link, "expire", limit=10) == jobs[2:]
    assert [row(job).pause for job in jobs] == [None] * 3


def only_what_waits_for_nobody_and_lives_then_is_postponed(link: Link) -> None:
    waits = make_job()
    others = [
        make_job(state="running"),
        make_job(state="completed"),
        make_job(state="blocked"),
        make_job(expires_at=NOW + timedelta(minutes=30)),
    ]
    assert list(postpone([waits, *others], FUTURE, actor="ada")) == [waits]
    assert row(others[0]).state == "running"


def what_is_late_already_is_not_postponed_into_the_past(link: Link) -> None:
    late = make_job(expires_at=PAST)
    assert postpone([late], PAST - timedelta(hours=1), actor="ada") == {}


def a_retry_that_is_postponed_is_still_a_retry_and_no_start_is_in_the_past(link: Link) -> None:
    job = make_job(state="retrying", run_at=FUTURE)
    assert postpone([job], PAST, actor="ada")[job] >= NOW
    assert row(job).state == "retrying"


def what_is_paused_waits_counted(link: Link) -> None:
    number = paused_task("shop.bill")
    make_job(state="paused", pause=number)
    make_job(state="paused", pause=number, queue="other")
    make_job()
    assert link.rows("waiting", queue="default", limit=10) == [(2,)]


STANDS = "(pause.until IS NULL OR pause.until > clock_timestamp())"
TABLE: dict[Scenario, list[Twin]] = {
    a_claim_leaves_out_what_is_paused_now: [
        Twin("front", STANDS, "true"),
        Twin("front", "NOT EXISTS (SELECT FROM jobs_pause)\n", "true\n"),
    ],
    a_claim_ends_where_it_is_told_to: [Twin("front", "AND (rank, id) <= (%(last_rank)s, %(last_id)s)", "")],
    only_pending_jobs_of_a_pause_that_stands_are_set_aside: [
        Twin("hold", STANDS, "true"),
        Twin("hold", ("job.state LIKE 'pending'", "state = 'pending'"), "true"),
        Twin("hold", " AND queue = %(queue)s", ""),
    ],
    nobody_waits_for_a_row_that_someone_has_locked: [
        Twin("hold", " SKIP LOCKED", ""),
        Twin("resume", " SKIP LOCKED", ""),
    ],
    jobs_are_let_go_when_their_own_pause_is_over: [
        Twin("resume", "WHERE id = found.pause AND ", "WHERE "),
        Twin("resume", " AND (until IS NULL OR until > clock_timestamp())", ""),
        Twin("resume", " WHERE until <= clock_timestamp()", " WHERE false"),
        Twin("resume", " AND pause = (SELECT pause FROM lifted)", ""),
        Twin("resume", "pause = NULL, ", ""),
    ],
    a_job_that_is_let_go_is_ranked_by_the_aging_of_its_queue: [
        Twin("resume", "(SELECT aging_us FROM jobs_queue WHERE name = job.queue)", "1")
    ],
    what_ends_or_is_postponed_is_held_by_no_pause: [
        Twin("cancel", ", pause = NULL", ""),
        Twin("expire", ", pause = NULL", ""),
        Twin("postpone", ", pause = NULL", ""),
    ],
    only_what_waits_for_nobody_and_lives_then_is_postponed: [
        Twin("postpone", " AND state = ANY(%(sources)s)", ""),
        Twin("postpone", "(expires_at IS NULL OR ", "(true OR "),
    ],
    what_is_late_already_is_not_postponed_into_the_past: [
        Twin("postpone", "expires_at > greatest(%(run_at)s::timestamptz, clock_timestamp())", "expires_at > %(run_at)s")
    ],
    a_retry_that_is_postponed_is_still_a_retry_and_no_start_is_in_the_past: [
        Twin("postpone", "CASE WHEN job.state = 'retrying' THEN 'retrying' ELSE 'scheduled' END", "'scheduled'"),
        Twin("postpone", "run_at = greatest(%(run_at)s::timestamptz, clock_timestamp())", "run_at = %(run_at)s"),
    ],
    what_is_paused_waits_counted: [
        Twin("waiting", "job.pause = pause.id", "false"),
        Twin("waiting", " AND job.queue = %(queue)s", ""),
    ],
}

test_it_holds, test_it_does_not_without_its_guard = proofs(TABLE)
