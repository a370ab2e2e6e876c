"""What may be deleted: each guard has a scenario that holds with it and fails without it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from jobs.engine.link import Link
from jobs.models import Attempt, Chord
from tests.support.breaking import Scenario, Twin, proofs
from tests.support.engine import opened
from tests.support.rows import make_attempt, make_job
from tests.support.statements import moved

NOW = datetime.now(UTC)
PAST = NOW - timedelta(hours=1)
FUTURE = NOW + timedelta(hours=1)
OLD = NOW - timedelta(days=10)
EVERY_END = ["cancelled", "completed", "dead_letter", "expired", "failed"]


def purge(link: Link, *jobs: UUID, sources: list[str] = EVERY_END) -> list[UUID]:
    return moved(link, "purge", ids=list(jobs), sources=sources)


def dead(**columns: Any) -> UUID:
    return make_job(**{"state": "dead_letter", "finished_at": OLD, **columns})


# purge


def what_lives_is_not_purged(link: Link) -> None:
    assert purge(link, make_job(), sources=[*EVERY_END, "pending"]) == []


def only_the_ends_that_were_asked_for_are_purged(link: Link) -> None:
    over = make_job(state="completed")
    assert purge(link, dead(), over, sources=["completed"]) == [over]


def who_holds_a_key_stays_while_he_holds_it(link: Link) -> None:
    held = make_job(state="completed", unique_key="a", unique_until=FUTURE)
    late = make_job(state="completed", unique_key="b", unique_until=PAST)
    assert purge(link, held, late) == [late]


def who_is_waited_for_stays(link: Link) -> None:
    awaited, free = make_job(state="completed"), make_job(state="completed")
    make_job(state="blocked", after=awaited)
    make_job(state="cancelled", after=free)
    assert purge(link, awaited, free) == [free]


def a_member_stays_while_its_chord_is_waited_for(link: Link) -> None:
    awaited, free = uuid4(), uuid4()
    members = [make_job(state="completed", chord=chord) for chord in (awaited, free)]
    make_job(state="blocked", after=awaited)
    make_job(state="cancelled", after=free)
    assert purge(link, *members) == members[1:]


def attempts_go_with_their_job_and_no_others(link: Link) -> None:
    gone, kept = make_job(state="completed"), make_job(state="completed")
    make_attempt(gone), make_attempt(kept)
    purge(link, gone)
    assert list(Attempt.objects.values_list("job_id", flat=True)) == [kept]


def a_purge_waits_for_nobody(link: Link) -> None:
    job = make_job(state="completed")
    with opened(lock_timeout=0.2) as other, link.transaction():
        link._open().execute("SELECT FROM jobs_job FOR UPDATE")
        assert purge(other, job) == []


# What is old


def jobs_are_old_in_their_order_and_after_their_time(link: Link) -> None:
    first, second = (make_job(state="completed", finished_at=OLD + timedelta(hours=n)) for n in range(2))
    make_job(state="completed")
    seen = moved(link, "old_jobs", finished_at=OLD - timedelta(1), id=UUID(int=0), days=5, limit=10)
    assert seen == [first, second]
    assert moved(link, "old_jobs", finished_at=OLD, id=first, days=5, limit=10) == [second]


def dead_letters_are_old_by_their_queues_days(link: Link) -> None:
    old = dead()
    dead(queue="other"), dead(finished_at=NOW), make_job(state="failed", finished_at=OLD)
    assert moved(link, "old_dead_letters", queue="default", days=5, limit=10) == [old]


def the_newest_dead_letters_of_a_queue_are_kept(link: Link) -> None:
    first, _ = dead(), dead(finished_at=OLD + timedelta(days=1))
    dead(queue="other"), make_job(state="failed", finished_at=OLD)
    assert moved(link, "surplus_dead_letters", queue="default", cap=1, limit=10) == [first]


def a_chord_goes_when_it_is_old_and_nobodys(link: Link) -> None:
    chords = {name: uuid4() for name in ("young", "has members", "is waited for", "old")}
    for chord in chords.values():
        link.rows("add_chord", id=chord, size=1, members="[]")
    link._open().execute("UPDATE jobs_chord SET created_at = %s WHERE id <> %s", (OLD, chords["young"]))
    make_job(state="completed", chord=chords["has members"])
    make_job(state="blocked", after=chords["is waited for"])
    make_job(state="cancelled", after=chords["old"])
    assert link.rows("old_chords", id=max(chords.values()), limit=10) == []
    assert link.rows("old_chords", id=UUID(int=0), limit=10)[0][1] == 1
    assert not Chord.objects.filter(pk=chords["old"]).exists()


IS_AWAITED = "NOT EXISTS (SELECT FROM jobs_job AS waiting WHERE waiting.after = job.id AND waiting.state = 'blocked')"
OF_A_CHORD = """NOT EXISTS (
               SELECT FROM jobs_job AS waiting WHERE waiting.after = job.chord AND waiting.state = 'blocked')"""

TABLE: dict[Scenario, list[Twin]] = {
    what_lives_is_not_purged: [Twin("purge", " AND finished_at IS NOT NULL", "")],
    only_the_ends_that_were_asked_for_are_purged: [Twin("purge", " AND state = ANY(%(sources)s)", "")],
    who_holds_a_key_stays_while_he_holds_it: [
        Twin("purge", "unique_until <= clock_timestamp()", "true"),
        Twin("purge", " OR unique_until <= clock_timestamp()", ""),
    ],
    who_is_waited_for_stays: [
        Twin("purge", IS_AWAITED, "true"),
        Twin("purge", "waiting.after = job.id AND waiting.state = 'blocked'", "waiting.after = job.id"),
    ],
    a_member_stays_while_its_chord_is_waited_for: [
        Twin("purge", OF_A_CHORD, "true"),
        Twin("purge", "waiting.after = job.chord AND waiting.state = 'blocked'", "waiting.after = job.chord"),
    ],
    attempts_go_with_their_job_and_no_others: [
        Twin(
            "purge",
            "DELETE FROM jobs_attempt WHERE job_id = ANY(ARRAY(SELECT id FROM chosen))",
            "DELETE FROM jobs_attempt",
        )
    ],
    a_purge_waits_for_nobody: [Twin("purge", " SKIP LOCKED", "")],
    jobs_are_old_in_their_order_and_after_their_time: [
        Twin("old_jobs", "(finished_at, id) > (%(finished_at)s::timestamptz, %(id)s::uuid)", "true"),
        Twin("old_jobs", "finished_at < statement_timestamp() - make_interval(days => %(days)s)", "true"),
        Twin("old_jobs", "ORDER BY finished_at, id", "ORDER BY finished_at DESC"),
    ],
    dead_letters_are_old_by_their_queues_days: [
        Twin("old_dead_letters", "queue = %(queue)s AND ", ""),
        Twin("old_dead_letters", " AND state = 'dead_letter'", ""),
        Twin("old_dead_letters", "finished_at < statement_timestamp() - make_interval(days => %(days)s)", "true"),
    ],
    the_newest_dead_letters_of_a_queue_are_kept: [
        Twin("surplus_dead_letters", "queue = %(queue)s AND ", ""),
        Twin("surplus_dead_letters", " AND state = 'dead_letter'", ""),
        Twin("surplus_dead_letters", " OFFSET %(cap)s", ""),
        Twin("surplus_dead_letters", "finished_at DESC", "finished_at"),
    ],
    a_chord_goes_when_it_is_old_and_nobodys: [
        Twin("old_chords", " AND seen.created_at < clock_timestamp() - interval '1 day'", ""),
        Twin(
            "old_chords",
            "NOT EXISTS (SELECT FROM jobs_job WHERE chord IS NOT NULL AND jobs_job.chord = seen.id)",
            "true",
        ),
        Twin("old_chords", "NOT EXISTS (SELECT FROM jobs_job WHERE state = 'blocked' AND after = seen.id)", "true"),
        Twin("old_chords", "state = 'blocked' AND after = seen.id", "after = seen.id"),
        Twin("old_chords", "WHERE id > %(id)s::uuid ", ""),
    ],
}

test_it_holds, test_it_does_not_without_its_guard = proofs(TABLE)
