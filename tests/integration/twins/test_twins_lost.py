"""What is taken back, and from whom: each guard has a scenario that holds with it and fails without it."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from jobs.conf import jobs_settings
from jobs.engine import cancel, workers
from jobs.engine.link import Link
from jobs.engine.maintenance import lose
from jobs.models import Attempt, Job, Worker
from jobs.states import End, State
from jobs.wire import ERRBACKS
from tests.support.breaking import Scenario, Twin, proofs
from tests.support.engine import lease, new_job, outcome, row, won
from tests.support.rows import make_job, make_worker
from tests.support.statements import finish, lost, moved

NOW = datetime.now(UTC)
PAST = NOW - timedelta(hours=1)
RETRY = {"state": State.RETRYING, "end": End.RETRIED, "spent": 1}
NOT_OVER = "stopped_at IS NULL AND lost_at IS NULL"


# lose, lost_leases


def a_lease_that_was_won_meanwhile_is_not_taken_back_as_unwon(link: Link) -> None:
    job = new_job()
    won(link, [job])
    assert lost(link, row(job).lease, won=False) == (0, 0, 0)
    assert row(job).state == State.RUNNING


def a_worker_takes_back_only_what_it_has_won(link: Link) -> None:
    """A message may come to two workers; the one that did not win must not end what the other runs."""
    mine, other = make_worker(), make_worker()
    theirs = won(link, [new_job()], worker=other)
    settings = jobs_settings()
    assert lose(link, theirs, settings, won=True, begun=None, reason="", worker=mine) == (0, 0, 0)
    assert lose(link, theirs, settings, won=True, begun=None, reason="", worker=other) == (1, 0, 0)


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


def only_a_final_loss_calls_errbacks(link: Link) -> None:
    options = {"on_lost": "dead_letter", "link_error": [{"task": "t"}]}
    lost_for_good, cancelled, plain = make_job(options=options), make_job(options=options), make_job()
    for job in (lost_for_good, cancelled, plain):
        token = won(link, [job])
        if job == cancelled:
            cancel([job], actor="ada")
        lost(link, token)
    called = Job.objects.filter(task=ERRBACKS)
    assert [str(lost_for_good) in job.args for job in called] == [True]


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


def a_new_boot_voids_those_whose_process_is_gone_and_no_others(link: Link) -> None:
    gone, stopped, other = make_worker(), make_worker(stopped_at=NOW), make_worker()
    boot = {"id": uuid4(), "name": "new", "host": "test", "pid": 2, "slots": 1, "queues": None}
    link.rows("register", **boot, gone=[gone, stopped])
    void = Worker.objects.filter(lost_at__isnull=False)
    assert list(void.values_list("id", flat=True)) == [gone]
    assert other


def a_worker_stops_once(link: Link) -> None:
    boot, other = make_worker(stopped_at=PAST), make_worker()
    link.rows("stop", id=boot)
    assert [Worker.objects.get(pk=id_).stopped_at for id_ in (boot, other)] == [PAST, None]


def those_behind_a_blocker_are_those_after_it(link: Link) -> None:
    jobs = [new_job() for _ in range(3)]
    token = won(link, jobs)
    won(link, [new_job() for _ in range(3)])
    assert moved(link, "behind", token=token, begun=2) == jobs[2:]


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


def a_look_for_lost_leases_stays_in_its_stretch(link: Link) -> None:
    job = row(make_job(state="running"))
    make_job()
    page = (
        link._open().execute("SELECT (ctid::text::point)[0]::int FROM jobs_job WHERE id = %s", (job.pk,)).fetchone()[0]
    )
    stretches = [(0, page), (page + 1, page + 9), (page, page + 1)]
    assert [moved(link, "adopt", first=f"({a},0)", last=f"({b},0)") for a, b in stretches] == [[], [], [job.lease]]


TABLE: dict[Scenario, list[Twin]] = {
    a_lease_that_was_won_meanwhile_is_not_taken_back_as_unwon: [
        Twin("lose", " AND (won_at IS NOT NULL) = %(won)s", " AND %(won)s IS NOT NULL")
    ],
    a_worker_takes_back_only_what_it_has_won: [
        Twin("lose", " AND (%(worker)s::uuid IS NULL OR worker = %(worker)s)", " AND %(worker)s::uuid IS NOT NULL"),
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
    only_a_final_loss_calls_errbacks: [Twin("errbacks", " AND state = 'dead_letter'", "")],
    a_look_for_lost_leases_stays_in_its_stretch: [
        Twin("adopt", "job.ctid >= %(first)s::tid AND ", ""),
        Twin("adopt", "job.ctid < %(last)s::tid AND ", ""),
        Twin("adopt", " AND job.lease IS NOT NULL", ""),
    ],
    only_leases_that_nobody_will_finish_are_lost: [
        Twin("lost_leases", "lease.won_at IS NULL AND ", ""),
        Twin("lost_leases", " AND lease.sent_at < clock_timestamp() - make_interval(secs => %(timeout)s)", ""),
        Twin("lost_leases", " OR worker.lost_at IS NOT NULL", ""),
        Twin("lost_leases", "lease.won_at IS NOT NULL AND (worker", "(true OR worker"),
    ],
    the_new_leader_sends_what_nobody_has_won: [Twin("unwon", "WHERE won_at IS NULL", "")],
    a_boot_that_ended_hears_of_it: [
        Twin("heartbeat", " AND lost_at IS NULL", ""),
        Twin("heartbeat", " AND stopped_at IS NULL", ""),
    ],
    a_heartbeat_at_the_last_moment_saves_its_worker: [Twin("void", " AND heartbeat_at = %(seen)s", "")],
    a_worker_that_stopped_in_good_order_is_not_presumed_dead: [Twin("void", " AND stopped_at IS NULL", "")],
    a_new_boot_voids_those_whose_process_is_gone_and_no_others: [
        Twin("register", " AND stopped_at IS NULL AND lost_at IS NULL", ""),
        Twin("register", "id = ANY(%(gone)s) AND ", ""),
    ],
    a_worker_stops_once: [
        Twin("stop", " AND stopped_at IS NULL", ""),
        Twin("stop", "id = %(id)s AND ", ""),
    ],
    those_behind_a_blocker_are_those_after_it: [
        Twin("behind", "%(begun)s::int + 1", "%(begun)s::int"),
        Twin("behind", " WHERE token = %(token)s", ""),
    ],
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

test_it_holds, test_it_does_not_without_its_guard = proofs(TABLE)
