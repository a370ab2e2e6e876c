"""Chords, and jobs that wait for another: each guard has a scenario that holds with it and fails without it."""

from typing import Any
from uuid import UUID, uuid4

from kombu.utils.json import dumps

from jobs.engine.abandoned import abandon
from jobs.engine.chords import RESULTS, release, spoil
from jobs.engine.enqueue import NewJob, enqueue
from jobs.engine.finish import columns_of
from jobs.engine.link import Link
from jobs.models import Chord
from jobs.states import End, State
from tests.support.breaking import Scenario, Twin, proofs
from tests.support.engine import NODE, lease, outcome, row, sweep_chords, win
from tests.support.rows import make_job
from tests.support.statements import moved


def a_chord(link: Link, *states: str, done: int = 0, **body: Any) -> tuple[UUID, list[UUID], UUID]:
    """A chord with members in these states, and its body: blocked, unless `body` says otherwise."""
    id_ = uuid4()
    members = [make_job(state=state, chord=id_, result=place) for place, state in enumerate(states)]
    link.rows("add_chord", id=id_, size=len(members), members=dumps([str(member) for member in members]))
    link._open().execute("UPDATE jobs_chord SET done = %s WHERE id = %s", (done, id_))
    return id_, members, make_job(**{"state": "blocked", "after": id_, "args": [RESULTS], **body})


def ended(link: Link, job: UUID, **fields: Any) -> UUID | None:
    """End a pending member; returns the chord that it made complete."""
    token = lease(link, [job])
    win(link, token)
    return link.rows("finish", **columns_of([outcome(job, **fields)], token=token, node=NODE, done=True))[0][2]


# finish, release


def a_member_counts_when_it_completes_and_the_last_one_completes_the_chord(link: Link) -> None:
    chord, members, _ = a_chord(link, "pending", "pending", "pending")
    assert ended(link, members[0]) is None
    assert ended(link, members[1], state=State.DEAD_LETTER, end=End.FAILED) is None
    assert ended(link, members[2]) is None
    assert Chord.objects.get(pk=chord).done == 2
    enqueue(NewJob(task="t", id=members[1]))
    assert ended(link, members[1]) == chord


def a_completed_member_that_is_called_again_counts_once(link: Link) -> None:
    chord, members, _ = a_chord(link, "pending", "pending")
    ended(link, members[0])
    enqueue(NewJob(task="t", id=members[0]))
    ended(link, members[0])
    assert Chord.objects.get(pk=chord).done == 1


def an_incomplete_chord_releases_nobody(link: Link) -> None:
    chord, _, body = a_chord(link, "completed", "running", done=1)
    assert release(link, [chord]) == 0
    assert row(body).state == State.BLOCKED


def a_body_that_was_cancelled_is_not_released(link: Link) -> None:
    chord, _, body = a_chord(link, "completed", done=1, state="cancelled")
    assert release(link, [chord]) == 0
    assert row(body).state == State.CANCELLED


def each_body_has_the_results_of_its_own_chord_in_their_order(link: Link) -> None:
    (first, _, body), (_, _, other) = (a_chord(link, *["completed"] * 11, done=11) for _ in range(2))
    assert release(link, [first]) == 1
    assert row(body).args == f"[[{', '.join(str(n) for n in range(11))}]]"
    assert row(other).state == State.BLOCKED


def an_immutable_body_keeps_its_arguments(link: Link) -> None:
    chord, _, body = a_chord(link, "completed", done=1, args=[7, 8])
    release(link, [chord])
    assert row(body).args == "[7, 8]"


def a_countdown_counts_from_the_release(link: Link) -> None:
    chord, _, body = a_chord(link, "completed", done=1, options={"countdown": 3600.0})
    release(link, [chord])
    assert (row(body).state, row(body).after) == (State.SCHEDULED, None)
    assert row(body).run_at is not None


def a_chord_that_completes_after_all_forgets_its_failure(link: Link) -> None:
    chord, _, body = a_chord(link, "completed", done=1, options={"chord_error": "no", "time_limit": 5})
    release(link, [chord])
    assert row(body).options == '{"time_limit": 5}'


# spoil, judge, release_after


def a_chord_is_spoilt_by_a_member_that_ended_otherwise(link: Link) -> None:
    fine, _, waits = a_chord(link, "completed", "retrying", done=1)
    spoilt, members, fails = a_chord(link, "completed", "expired", done=1)
    other, _, later = a_chord(link, "dead_letter")
    assert spoil(link, [fine, spoilt]) == 1
    assert [row(job).state for job in (waits, fails, later)] == ["blocked", "pending", "blocked"]
    assert f"Dependency {members[1]} raised TaskRevokedError: expired" in row(fails).options
    assert row(fails).after == spoilt
    assert other


def a_body_that_was_cancelled_is_not_spoilt(link: Link) -> None:
    chord, _, body = a_chord(link, "failed", state="cancelled")
    assert spoil(link, [chord]) == 0
    assert row(body).state == State.CANCELLED


def a_sweep_finds_what_the_finish_missed_and_nothing_else(link: Link) -> None:
    _, _, released = a_chord(link, "completed", done=1)
    _, _, waiting = a_chord(link, "completed", "running", done=1)
    behind, free = (make_job(state="blocked", after=make_job(state=state)) for state in ("running", "cancelled"))
    sweep_chords(link)
    assert [row(job).state for job in (released, waiting, behind, free)] == ["pending", "blocked", "blocked", "pending"]


def who_waits_for_a_live_job_waits_on(link: Link) -> None:
    before = make_job(state="running")
    waiting = make_job(state="blocked", after=before)
    assert moved(link, "release_after", ids=[before], aging_us=1) == []
    assert row(waiting).state == State.BLOCKED


def what_waited_and_was_cancelled_stays_cancelled(link: Link) -> None:
    before = make_job(state="completed")
    waited = make_job(state="cancelled", after=before)
    assert moved(link, "release_after", ids=[before], aging_us=1) == []
    assert row(waited).state == State.CANCELLED


def what_was_replaced_waits_for_itself(link: Link) -> None:
    job = uuid4()
    make_job(id=job, state="blocked", after=job)
    assert moved(link, "release_after", ids=[job], aging_us=1) == []


# insert_all, abandon


def a_replaced_job_gives_its_place_to_the_new_one_and_one_that_waits_for_another_does_not(link: Link) -> None:
    replaced = uuid4()
    make_job(id=replaced, state="blocked", after=replaced)
    _, _, waiting = a_chord(link, "running")
    for job in (replaced, waiting):
        enqueue(NewJob(task="new", id=job))
    assert [(row(job).task == "new", row(job).state) for job in (replaced, waiting)] == [
        (True, "pending"),
        (False, "blocked"),
    ]


def steps_end_with_a_chain_that_failed_and_live_ones_live(link: Link) -> None:
    never, live, spared = uuid4(), make_job(state="pending"), uuid4()

    def ending(state: str, *steps: UUID) -> UUID:
        chain = [{"task": "t", "options": {"task_id": str(step)}} for step in steps]
        return make_job(state=state, options={"chain": chain})

    abandon(link.rows, [ending("dead_letter", never, live), ending("completed", spared), ending("retrying", spared)])
    assert (row(never).state, row(live).state) == ("failed", "pending")
    assert moved(link, "tasks_of", ids=[spared]) == []


def a_blocked_body_is_not_abandoned(link: Link) -> None:
    _, _, waiting = a_chord(link, "running")
    chain = [{"task": "t", "options": {"task_id": str(waiting)}}]
    abandon(link.rows, [make_job(state="failed", options={"chain": chain})])
    assert row(waiting).state == State.BLOCKED


BLOCKED = ("job.state LIKE 'blocked'", "state = 'blocked'")
BLOCKED_JOB = ("job.state LIKE 'blocked'", "job.state = 'blocked'")
NOT_LIVE = "NOT EXISTS (SELECT FROM jobs_job AS before WHERE before.id = job.after AND before.finished_at IS NULL)"
TAKEN_OVER = "job.finished_at IS NOT NULL OR (job.state = 'blocked' AND job.after = job.id)"

TABLE: dict[Scenario, list[Twin]] = {
    a_member_counts_when_it_completes_and_the_last_one_completes_the_chord: [
        Twin("finish", " AND state = 'completed' GROUP BY", " GROUP BY"),
        Twin("finish", "chord.done >= chord.size AS complete", "true AS complete"),
        Twin("finish", "advanced.complete\n", "NOT advanced.complete\n"),
        Twin("insert_all", "CASE WHEN job.state <> 'completed' THEN job.chord END", "NULL"),
    ],
    a_completed_member_that_is_called_again_counts_once: [
        Twin("insert_all", "CASE WHEN job.state <> 'completed' THEN job.chord END", "job.chord")
    ],
    an_incomplete_chord_releases_nobody: [Twin("release", " AND done >= size", "")],
    a_body_that_was_cancelled_is_not_released: [Twin("release", BLOCKED_JOB, "true")],
    each_body_has_the_results_of_its_own_chord_in_their_order: [
        Twin("release", ("job.after = ANY(SELECT id FROM complete)", "results.id = job.after"), "true"),
        Twin("release", "ORDER BY place)", "ORDER BY piece)"),
    ],
    an_immutable_body_keeps_its_arguments: [
        Twin("release", "starts_with(job.args, '[' || %(placeholder)s)", "%(placeholder)s <> ''")
    ],
    a_countdown_counts_from_the_release: [
        Twin(
            "release",
            "clock_timestamp() + make_interval(secs => (job.options::json->>'countdown')::float8)",
            "job.run_at",
        )
    ],
    a_chord_that_completes_after_all_forgets_its_failure: [
        Twin("release", "regexp_replace(job.options, %(spoilt)s, '{')", "job.options")
    ],
    a_chord_is_spoilt_by_a_member_that_ended_otherwise: [
        Twin("spoil", " AND member.state IN ('cancelled', 'dead_letter', 'expired', 'failed')", ""),
        Twin("spoil", " AND after = ANY(%(chords)s)", ""),
        Twin("spoil", "CASE WHEN culprit.state IN ('cancelled', 'expired') THEN 'TaskRevokedError: ' END", "''"),
    ],
    a_body_that_was_cancelled_is_not_spoilt: [Twin("spoil", BLOCKED, "true")],
    a_sweep_finds_what_the_finish_missed_and_nothing_else: [
        Twin("judge", "coalesce(chord.done >= chord.size, false)", "false"),
        Twin("judge", "chord.id IS NULL AND NOT EXISTS", "chord.id IS NULL AND EXISTS"),
    ],
    who_waits_for_a_live_job_waits_on: [Twin("release_after", f" AND {NOT_LIVE}", "")],
    what_waited_and_was_cancelled_stays_cancelled: [Twin("release_after", BLOCKED_JOB, "true")],
    what_was_replaced_waits_for_itself: [Twin("release_after", ("job.after <> job.id", NOT_LIVE), "true")],
    a_replaced_job_gives_its_place_to_the_new_one_and_one_that_waits_for_another_does_not: [
        Twin("insert_all", TAKEN_OVER, "job.finished_at IS NOT NULL"),
        Twin("insert_all", " AND job.after = job.id)", ")"),
    ],
    steps_end_with_a_chain_that_failed_and_live_ones_live: [
        Twin("ended_chains", " AND state <> 'completed'", ""),
        Twin("ended_chains", " AND finished_at IS NOT NULL", ""),
        Twin("abandon", f" WHERE {TAKEN_OVER}\n", ""),
    ],
    a_blocked_body_is_not_abandoned: [Twin("abandon", " AND job.after = job.id)", ")")],
}

test_it_holds, test_it_does_not_without_its_guard = proofs(TABLE)
