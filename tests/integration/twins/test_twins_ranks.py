"""Priorities, ranks and other words for an end: each guard has a scenario that fails without it."""

from typing import Any
from uuid import UUID

from jobs.engine import boost, set_priority
from jobs.engine.control import reclassify
from jobs.engine.dispatch import front
from jobs.engine.link import Link
from jobs.models import AuditEntry, Job, Queue
from jobs.states import DISMISS, ESCALATE
from tests.support.breaking import Scenario, Twin, proofs
from tests.support.engine import new_job, opened, row, won
from tests.support.rows import make_job
from tests.support.statements import moved

START = {"rank": -(2**63), "id": UUID(int=0)}


def reranked(link: Link, aging_us: int = 1_000_000, **params: Any) -> tuple | None:
    """The last place seen, how many changed, how many were locked."""
    found = link.rows("rerank", **{"queue": "default", "aging_us": aging_us, "limit": 10, **START, **params})
    return found[0] if found else None


# set_priority


def only_waiting_jobs_get_another_priority(link: Link) -> None:
    running, over, waiting = new_job(), make_job(state="completed"), new_job()
    won(link, [running])
    assert boost([running, over, waiting], 5, actor="ada") == {waiting: 15}
    assert [row(job).priority for job in (running, over)] == [10, 10]


def a_priority_ends_at_a_hundred(link: Link) -> None:
    job = new_job()
    assert boost([job], 200, actor="ada") == {job: 100}
    assert boost([job], -200, actor="ada") == {job: -100}
    assert boost([job], -200, actor="ada") == {job: -100}


def a_priority_is_a_place_in_the_order_by_the_queues_own_aging(link: Link) -> None:
    Queue.objects.create(name="default", aging_us=7_000_000)
    first, second = new_job(), new_job()
    set_priority([second], 11, actor="ada")
    assert [found.id for found in front(link, "default", limit=10)] == [second, first]
    assert row(second).rank == int(row(second).ready_at.timestamp() * 1_000_000) - 11 * 7_000_000


def what_did_not_change_is_not_audited(link: Link) -> None:
    job = new_job()
    set_priority([job], 10, actor="ada")
    assert not AuditEntry.objects.exists()


# rerank, ranked


def pending_jobs_of_the_queue_are_ranked_and_no_others(link: Link) -> None:
    mine = make_job(rank=3)
    spared = [make_job(rank=3, queue="other"), make_job(rank=3, state="scheduled")]
    assert reranked(link)[2:] == (1, 0)
    assert row(mine).rank == int(row(mine).ready_at.timestamp() * 1_000_000) - 10 * 1_000_000
    assert [row(job).rank for job in spared] == [3, 3]


def a_walk_goes_on_behind_its_last_place_and_ends(link: Link) -> None:
    for rank in (1, 2, 3):
        make_job(id=UUID(int=9 - rank), rank=rank)
    rank, id_, *_ = reranked(link, limit=2)
    assert rank == 2
    assert reranked(link, rank=rank, id=id_)[2:] == (1, 0)
    assert reranked(link, rank=2**62) is None


def a_rank_that_is_right_is_not_written(link: Link) -> None:
    job = make_job(rank=3)
    reranked(link)
    assert reranked(link)[2:] == (0, 0)
    assert row(job).rank > 3


def a_locked_job_is_counted_and_not_waited_for(link: Link) -> None:
    make_job(rank=3)
    with opened(lock_timeout=0.2) as other, link.transaction():
        link._open().execute("SELECT FROM jobs_job FOR UPDATE")
        assert reranked(other)[2:] == (0, 1)


def a_queue_whose_aging_changed_again_is_not_settled(link: Link) -> None:
    for name in ("default", "other"):
        Queue.objects.create(name=name, aging_us=5, ranked_us=None)
    assert link.rows("ranked", queue="default", aging_us=4, moved=1) == []
    assert link.rows("ranked", queue="default", aging_us=5, moved=1) == [("default",)]
    assert moved(link, "stale_ranks") == ["other"]


# reclassify


def an_end_is_called_otherwise_only_if_it_was_the_one(link: Link) -> None:
    dead, failed, done = (make_job(state=state) for state in ("dead_letter", "failed", "completed"))
    assert reclassify([dead, failed, done], ESCALATE, actor="ada") == [failed]
    assert reclassify([done], DISMISS, actor="ada") == []
    assert {job.state for job in Job.objects.filter(pk__in=[dead, failed])} == {"dead_letter"}
    assert row(done).state == "completed"


PENDING = ("job.state LIKE 'pending'", "state = 'pending'")

TABLE: dict[Scenario, list[Twin]] = {
    only_waiting_jobs_get_another_priority: [Twin("set_priority", " AND state = ANY(%(sources)s)", "")],
    a_priority_ends_at_a_hundred: [
        Twin("set_priority", "least(100, ", "("),
        Twin("set_priority", "greatest(-100, ", "("),
    ],
    a_priority_is_a_place_in_the_order_by_the_queues_own_aging: [
        Twin("set_priority", "- chosen.fresh::bigint", "- job.priority::bigint"),
        Twin("set_priority", "(SELECT aging_us FROM jobs_queue WHERE name = job.queue)", "NULL"),
    ],
    what_did_not_change_is_not_audited: [Twin("set_priority", " WHERE before <> priority", "")],
    pending_jobs_of_the_queue_are_ranked_and_no_others: [
        Twin("rerank", PENDING, "true"),
        Twin("rerank", "queue = %(queue)s", "true"),
    ],
    a_walk_goes_on_behind_its_last_place_and_ends: [
        Twin("rerank", " AND (rank, id) > (%(rank)s::bigint, %(id)s::uuid)", ""),
        Twin("rerank", "ORDER BY rank, id LIMIT", "ORDER BY id LIMIT"),
        Twin("rerank", "ORDER BY rank DESC, id DESC LIMIT 1", "ORDER BY rank, id LIMIT 1"),
    ],
    a_rank_that_is_right_is_not_written: [Twin("rerank", " WHERE rank <> fresh", "")],
    a_locked_job_is_counted_and_not_waited_for: [
        Twin("rerank", " SKIP LOCKED", ""),
        Twin("rerank", "(SELECT count(*) FROM seen WHERE rank <> fresh) - (SELECT count(*) FROM chosen)", "0::bigint"),
    ],
    a_queue_whose_aging_changed_again_is_not_settled: [
        Twin("ranked", " AND aging_us = %(aging_us)s", ""),
        Twin("ranked", "name = %(queue)s AND ", ""),
        Twin("stale_ranks", "WHERE ranked_us IS DISTINCT FROM aging_us", ""),
    ],
    an_end_is_called_otherwise_only_if_it_was_the_one: [Twin("reclassify", " AND state = ANY(%(sources)s)", "")],
}

test_it_holds, test_it_does_not_without_its_guard = proofs(TABLE)
