"""Unique keys: who holds one, and when it is let go. Each guard has a scenario that fails without it."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from jobs.engine import cancel
from jobs.engine.link import Link
from jobs.engine.reviving import _requeued
from jobs.states import REQUEUE, End, State
from tests.support.breaking import Scenario, Twin, proofs
from tests.support.engine import new_job, opened, outcome, row, won
from tests.support.rows import make_job
from tests.support.statements import finish, lost, moved

NOW = datetime.now(UTC)
PAST = NOW - timedelta(hours=1)
FUTURE = NOW + timedelta(hours=1)
RETRY = {"state": State.RETRYING, "end": End.RETRIED, "spent": 1}


def key_of(job: UUID) -> str | None:
    return row(job).unique_key


def a_key_belongs_to_one_task(link: Link) -> None:
    job = make_job(task="t", unique_key="k")
    asked = [("t", "k"), ("u", "k"), ("t", "l")]
    found = [moved(link, "holder", task=task, unique_key=key) for task, key in asked]
    assert found == [[job], [], []]


def a_hold_is_over_when_the_job_is_and_its_time_too(link: Link) -> None:
    rows = {
        "live": {"unique_until": PAST},
        "held": {"state": "completed", "unique_until": FUTURE},
        "over": {"state": "completed", "unique_until": PAST},
    }
    for task, columns in rows.items():
        make_job(task=task, unique_key="k", **columns)
    over = {task: link.rows("holder", task=task, unique_key="k")[0][2] for task in rows}
    assert over == {"live": False, "held": False, "over": True}


def a_job_waits_behind_one_that_a_worker_has_and_no_other(link: Link) -> None:
    for task, state in (("running", "running"), ("pending", "pending"), ("over", "completed")):
        make_job(task=task, state="blocked", unique_key="k", after=make_job(state=state))
    waits = {task: link.rows("holder", task=task, unique_key="k")[0][1] for task in ("running", "pending", "over")}
    assert [task for task, after in waits.items() if after] == ["running"]


def a_key_that_changed_hands_is_not_let_go(link: Link) -> None:
    job = make_job(unique_key="k")
    link.rows("release_key", id=job, unique_key="of last year")
    assert key_of(job) == "k"
    link.rows("release_key", id=job, unique_key="k")
    assert key_of(job) is None


def a_sweep_lets_go_what_is_over_and_late(link: Link) -> None:
    live = make_job(unique_key="live", unique_until=PAST)
    held = make_job(state="completed", unique_key="held", unique_until=FUTURE)
    over = make_job(state="completed", unique_key="over", unique_until=PAST)
    assert moved(link, "release_keys", limit=10) == [over]
    assert [key_of(job) for job in (live, held, over)] == ["live", "held", None]


def a_sweep_of_keys_waits_for_nobody(link: Link) -> None:
    make_job(state="completed", unique_key="k", unique_until=PAST)
    with opened(lock_timeout=0.2) as other, link.transaction():
        link._open().execute("SELECT FROM jobs_job FOR UPDATE")
        assert moved(other, "release_keys", limit=10) == []


def an_end_frees_the_key_unless_it_is_held_longer(link: Link) -> None:
    short, held, retried = new_job(unique_key="a"), new_job(unique_key="b", unique_for=60), new_job(unique_key="c")
    token = won(link, [short, held, retried])
    finish(link, token, outcome(short), outcome(held), outcome(retried, **RETRY))
    assert [key_of(job) for job in (short, held, retried)] == [None, "b", "c"]


def a_wish_to_cancel_frees_the_key_of_a_job_that_would_run_again(link: Link) -> None:
    job = new_job(unique_key="k")
    token = won(link, [job])
    cancel([job], actor="ada")
    finish(link, token, outcome(job, **RETRY))
    assert key_of(job) is None


def a_loss_keeps_the_key_until_it_is_the_last_and_that_long_if_it_is_held(link: Link) -> None:
    short, held = (
        make_job(unique_key=key, strikes=1, unique_until=until) for key, until in (("a", None), ("b", FUTURE))
    )
    for job in (short, held):
        lost(link, won(link, [job]))
    assert [key_of(job) for job in (short, held)] == ["a", "b"]
    for job in (short, held):
        lost(link, won(link, [job]))
    assert [(row(job).state, key_of(job)) for job in (short, held)] == [("dead_letter", None), ("dead_letter", "b")]


def what_never_started_lets_go_whatever_was_said(link: Link) -> None:
    cancelled, expired, behind = (new_job(unique_key=key, unique_for=60, queue=key) for key in ("a", "b", "c"))
    unwon = new_job(unique_key="d", unique_for=60, queue="c")
    cancel([cancelled], actor="ada")
    link._open().execute("UPDATE jobs_job SET expires_at = %s WHERE id = %s", (PAST, expired))
    assert moved(link, "expire", limit=10) == [expired]
    token = won(link, [behind, unwon])
    cancel([behind, unwon], actor="ada")
    link.rows("give_back", ids=[behind], token=token)
    lost(link, token, begun=0)
    assert [key_of(job) for job in (cancelled, expired, behind, unwon)] == [None] * 4


def a_requeued_job_takes_its_key_again_unless_another_one_holds_it(link: Link) -> None:
    held, free = (make_job(state="failed", given_key=key) for key in ("a", "b"))
    own = make_job(state="failed", unique_key="c")
    make_job(unique_key="a")
    make_job(unique_key="b", task="u")
    assert set(requeued(link, held, free, own)) == {free, own}
    assert [key_of(job) for job in (held, free, own)] == [None, "b", "c"]


def of_two_with_one_key_the_first_asked_for_is_requeued(link: Link) -> None:
    first, second, other, without, too = (
        make_job(state="failed", task=task, given_key=key)
        for task, key in (("t", "k"), ("t", "k"), ("u", "k"), ("t", None), ("t", None))
    )
    assert set(requeued(link, second, first, other, without, too)) == {second, other, without, too}


def requeued(link: Link, *ids: UUID) -> list[UUID]:
    asked = [(id_, 0.0) for id_ in ids]
    said = {"actor": "ada", "reason": "", "ip": None, "args": None, "kwargs": None, "kept": 1, "aging_us": 1}
    return _requeued(link, asked, {**said, "sources": sorted(REQUEUE.sources)})


def only_a_hold_that_is_over_gives_way_to_a_requeue(link: Link) -> None:
    wanted = [make_job(task="t", state="failed", given_key=key) for key in ("live", "held", "over", "other")]
    make_job(task="t", unique_key="live", unique_until=PAST)
    make_job(task="t", state="completed", unique_key="held", unique_until=FUTURE)
    over = make_job(task="t", state="completed", unique_key="over", unique_until=PAST)
    make_job(task="u", state="completed", unique_key="other")
    make_job(task="t", state="completed", unique_key="nobody's")
    running = make_job(task="t", state="running", given_key="done")
    make_job(task="t", state="completed", unique_key="done")
    asked = {"ids": [*wanted, running], "sources": sorted(REQUEUE.sources)}
    assert moved(link, "release_stale", **asked) == [over]


def a_call_writes_nothing_if_its_id_is_live_or_its_key_is_held(link: Link) -> None:
    itself = uuid4()
    ids = [make_job(), make_job(state="completed"), make_job(id=itself, state="blocked", after=itself)]
    make_job(task="t", unique_key="live", unique_until=PAST)
    make_job(task="t", state="completed", unique_key="held", unique_until=FUTURE)
    make_job(task="t", state="completed", unique_key="over", unique_until=PAST)
    make_job(task="u", unique_key="other")
    keys = ["live", "held", "over", "other", None]
    calls = [*ids, *(uuid4() for _ in keys)]
    found = moved(link, "joined", ids=calls, tasks=["t"] * len(calls), keys=[None] * len(ids) + keys)
    assert set(found) == {calls[0], calls[3], calls[4]}


LATE = "unique_until <= clock_timestamp()"
KEPT = "(NOT outcome.final AND job.cancel_requested_at IS NULL) OR job.unique_until > clock_timestamp()"

TABLE: dict[Scenario, list[Twin]] = {
    a_key_belongs_to_one_task: [
        Twin("holder", "task = %(task)s AND ", ""),
        Twin("holder", " AND unique_key = %(unique_key)s", ""),
    ],
    a_hold_is_over_when_the_job_is_and_its_time_too: [
        Twin("holder", "finished_at IS NOT NULL AND ", ""),
        Twin("holder", f" OR {LATE}", ""),
        Twin("holder", LATE, "true"),
    ],
    a_job_waits_behind_one_that_a_worker_has_and_no_other: [Twin("holder", " AND before.lease IS NOT NULL", "")],
    a_key_that_changed_hands_is_not_let_go: [Twin("release_key", " AND unique_key = %(unique_key)s", "")],
    a_sweep_lets_go_what_is_over_and_late: [
        Twin("release_keys", (f"job.{LATE}", "unique_until <= statement_timestamp()"), "true"),
        Twin("release_keys", ("job.finished_at IS NOT NULL", "finished_at IS NOT NULL"), "true"),
    ],
    a_sweep_of_keys_waits_for_nobody: [Twin("release_keys", " SKIP LOCKED", "")],
    an_end_frees_the_key_unless_it_is_held_longer: [
        Twin("finish", KEPT, "true"),
        Twin("finish", KEPT, "false"),
        Twin("finish", " OR job.unique_until > clock_timestamp()", ""),
    ],
    a_wish_to_cancel_frees_the_key_of_a_job_that_would_run_again: [
        Twin("finish", "(NOT outcome.final AND job.cancel_requested_at IS NULL) OR", "NOT outcome.final OR")
    ],
    a_loss_keeps_the_key_until_it_is_the_last_and_that_long_if_it_is_held: [
        Twin("lose", "NOT (judged.dead OR judged.unwanted) OR", "false OR"),
        Twin("lose", " OR (judged.begun AND job.unique_until > clock_timestamp())", ""),
        Twin("lose", "NOT (judged.dead OR judged.unwanted) OR", "true OR"),
    ],
    what_never_started_lets_go_whatever_was_said: [
        Twin("cancel", "unique_key = NULL, ", ""),
        Twin("expire", "unique_key = NULL, ", ""),
        Twin("give_back", "unique_key = CASE WHEN cancel_requested_at IS NULL THEN unique_key END,", ""),
        Twin("lose", "judged.begun AND job.unique_until", "job.unique_until"),
    ],
    a_requeued_job_takes_its_key_again_unless_another_one_holds_it: [
        Twin("requeue", "coalesce(job.unique_key, job.given_key)", "job.given_key"),
        Twin("requeue", "coalesce(job.unique_key, job.given_key)", "job.unique_key"),
        Twin("requeue", "holder.task = chosen.task AND ", ""),
        Twin("requeue", " AND holder.unique_key = chosen.key", ""),
        Twin("requeue", " AND holder.id <> chosen.id", ""),
        Twin("requeue", "unique_key = free.key,", ""),
    ],
    of_two_with_one_key_the_first_asked_for_is_requeued: [
        Twin("requeue", "DISTINCT ON (task, key, CASE WHEN key IS NULL THEN id END) ", ""),
        Twin("requeue", "DISTINCT ON (task, key, CASE WHEN key IS NULL THEN id END)", "DISTINCT ON (task, key)"),
        Twin("requeue", "task, key, CASE", "key, CASE"),
        Twin("requeue", "END, place", "END, place DESC"),
    ],
    a_call_writes_nothing_if_its_id_is_live_or_its_key_is_held: [
        Twin("joined", "job.id = new.id AND ", ""),
        Twin("joined", "job.id = new.id AND job.finished_at IS NULL", "job.id = new.id"),
        Twin("joined", "job.state <> 'blocked' OR job.after IS DISTINCT FROM job.id", "true"),
        Twin("joined", "job.task = new.task AND ", ""),
        Twin("joined", "job.unique_key = new.unique_key\n                  AND ", ""),
        Twin("joined", "(job.finished_at IS NULL OR ", "("),
        Twin("joined", "job.unique_until > clock_timestamp()", "true"),
    ],
    only_a_hold_that_is_over_gives_way_to_a_requeue: [
        Twin("release_stale", "job.state = ANY(%(sources)s)", "true"),
        Twin("release_stale", "holder.task = job.task AND ", ""),
        Twin("release_stale", " AND holder.unique_key = job.given_key", ""),
        Twin("release_stale", "holder.finished_at IS NOT NULL", "true"),
        Twin("release_stale", "OR holder.unique_until <= clock_timestamp()", "OR true"),
    ],
}

test_it_holds, test_it_does_not_without_its_guard = proofs(TABLE)
