"""commit() in members of a chord: counted once, with the block, or not at all."""

from typing import Any

import pytest
from celery import chord, current_app
from django.contrib.auth.models import User
from django.db import connection, transaction

from jobs.app.runner import Runner
from jobs.conf import jobs_settings
from jobs.engine.execute import carry
from jobs.engine.link import Link
from jobs.engine.maintenance import lose
from jobs.engine.newjob import job_key
from jobs.models import Chord
from tests.support import commit_tasks as tasks
from tests.support.engine import drain, lease, opened, placed, row, run, sweep_chords
from tests.support.odd_tasks import SEEN, echo


@pytest.fixture(autouse=True)
def _forget(settings) -> None:
    SEEN.clear()
    tasks.ACTIONS.clear()
    settings.JOBS_DEFAULT_MAX_RETRIES = 0


def called(*members: Any) -> tuple[list[Any], Any]:
    """The keys of a chord's members, and that of its body."""
    body = chord(members)(echo.s())
    return [job_key(member.id) for member in body.parent.results], job_key(body.id)


def done() -> int:
    return Chord.objects.get().done


def test_each_block_counts_once_and_the_last_releases_the_body(link: Link) -> None:
    members, body = called(tasks.commits.s("ann", result=1), tasks.commits.s("bob", result=2))
    run(link, members[0])
    assert (done(), row(body).state) == (1, "blocked")
    run(link, members[1])
    assert (done(), row(body).state, row(body).args) == (2, "pending", "[[1, 2]]")
    drain(link)
    assert (row(body).state, row(body).epoch) == ("completed", 1)


def test_members_of_one_carrier_count_once_each(link: Link) -> None:
    members, body = called(*(tasks.commits.s(name) for name in ("ann", "bob", "cid")))
    run(link, *members)
    assert (done(), row(body).state) == (3, "pending")


def test_the_body_is_released_in_the_blocks_own_transaction(link: Link) -> None:
    (member,), body = called(tasks.meanwhile.s("ann", "look"))
    seen = []

    def look() -> None:
        found = "SELECT (SELECT count(*) FROM auth_user), done, state FROM jobs_chord, jobs_job WHERE jobs_job.id = %s"
        seen.append(link._open().execute(found, (body,)).fetchone())

    def on_the_way(task: Any) -> None:
        look()
        transaction.on_commit(look)

    tasks.ACTIONS["look"] = on_the_way
    run(link, member)
    assert seen == [(0, 0, "blocked"), (1, 1, "pending")]


def test_a_stale_workers_block_counts_for_nothing(link: Link) -> None:
    (member,), body = called(tasks.meanwhile.s("ann", "lose"))
    token = lease(link, [member])

    def lose_it(task: Any) -> None:
        with opened() as other:
            lose(other, token, jobs_settings(), won=True, begun=1, reason="x")

    tasks.ACTIONS["lose"] = lose_it
    with placed(link) as place:
        carry(token, place, Runner(current_app._get_current_object(), place))
    sweep_chords(link)
    assert (done(), row(body).state, User.objects.count()) == (0, "blocked", 0)
    tasks.ACTIONS["lose"] = lambda task: None
    run(link, member)
    assert (done(), row(body).state, User.objects.count()) == (1, "pending", 1)


def test_a_commit_that_fails_takes_the_count_and_the_release_back(link: Link) -> None:
    (member, other), body = called(tasks.meanwhile.s("ann", "fail"), tasks.commits.s("bob"))
    run(link, other)

    def fail_at_commit(task: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE later (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
            cursor.execute("INSERT INTO later VALUES (1), (1)")

    tasks.ACTIONS["fail"] = fail_at_commit
    run(link, member)
    assert (row(member).state, done(), row(body).state) == ("dead_letter", 1, "blocked")
    drain(link)
    assert (row(body).state, SEEN) == ("dead_letter", [])
