"""commit() where Django's connection reads from one snapshot: nothing of the platform's own gets in its way."""

from collections.abc import Iterator
from typing import Any

import pytest
from celery import chord, current_app, signals
from django.contrib.auth.models import User
from django.db import connection
from psycopg import IsolationLevel

from jobs.app.runner import Runner
from jobs.conf import jobs_settings
from jobs.engine import cancel
from jobs.engine.execute import carry
from jobs.engine.link import Link
from jobs.engine.maintenance import lose
from jobs.engine.newjob import job_key
from jobs.models import Attempt, Chord
from tests.support import commit_tasks as tasks
from tests.support.engine import lease, opened, outcome, placed, row, run, run_result, won
from tests.support.odd_tasks import echo, errback
from tests.support.statements import finish

LEVELS = (IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE)


@pytest.fixture(autouse=True, params=LEVELS, ids=lambda level: level.name)
def _snapshot(link: Link, settings, request) -> Iterator[None]:
    tasks.ACTIONS.clear()
    settings.JOBS_DEFAULT_MAX_RETRIES = 0
    before = connection.settings_dict["OPTIONS"]
    connection.close()
    connection.settings_dict["OPTIONS"] = {**before, "isolation_level": request.param}
    yield
    connection.close()
    connection.settings_dict["OPTIONS"] = before


def ends(job: Any) -> list[str]:
    return list(Attempt.objects.filter(job_id=job).order_by("number").values_list("end", flat=True))


def test_the_effect_and_the_completion_are_one_commit(link: Link) -> None:
    job = run_result(link, tasks.commits.apply_async(("ann",), link=echo.s()))
    assert (job.state, ends(job.pk), User.objects.count()) == ("completed", ["completed"], 1)


def test_progress_and_a_late_start_in_the_block_do_not_overtake_it(link: Link, settings) -> None:
    settings.JOBS_PROGRESS_INTERVAL = 0.0

    def report(task: Any) -> None:
        task.progress(1, 2, "half")
        task.progress(2, 2, "whole")

    tasks.ACTIONS["report"] = report
    job = run_result(link, tasks.meanwhile.delay("ann", "report"))
    assert (job.state, ends(job.pk), job.progress["message"]) == ("completed", ["completed"], "whole")


def test_progress_of_a_block_that_was_rolled_back_is_written_after_it(link: Link, settings) -> None:
    settings.JOBS_PROGRESS_INTERVAL = 0.0

    def report(task: Any) -> None:
        task.progress(1, 2, "half")
        raise ValueError("no")

    tasks.ACTIONS["report"] = report
    job = run_result(link, tasks.meanwhile.delay("ann", "report"))
    assert (job.state, job.progress["message"], User.objects.count()) == ("dead_letter", "half", 0)


def test_a_stale_workers_block_is_rolled_back_and_is_no_failure(link: Link, caplog) -> None:
    failures = []
    signals.task_failure.connect(lambda **said: failures.append(said), weak=False, dispatch_uid="stale")
    result = tasks.meanwhile.apply_async(("ann", "lose"), link=echo.s(), link_error=errback.s())
    token = lease(link, [job_key(result.id)])

    def lose_it(task: Any) -> None:
        with opened() as other:
            assert lose(other, token, jobs_settings(), won=True, begun=1, reason="x") == (1, 0, 0)

    tasks.ACTIONS["lose"] = lose_it
    with placed(link) as place:
        carry(token, place, Runner(current_app._get_current_object(), place))
    signals.task_failure.disconnect(dispatch_uid="stale")
    assert (User.objects.count(), row(job_key(result.id)).state, failures) == (0, "pending", [])
    assert "stale outcome dropped" in caplog.text


def test_an_overtaken_block_runs_again_and_spends_nothing(link: Link, caplog) -> None:
    """A sibling in the chord is counted after the block's snapshot was taken."""
    caplog.set_level("INFO", "jobs")
    body = chord([tasks.meanwhile.s("ann", "sibling"), echo.s()])(echo.s())
    member, sibling = (job_key(one.id) for one in body.parent.results)

    token = won(link, [sibling])

    def count_it(task: Any) -> None:
        with opened() as other:
            finish(other, token, outcome(sibling, result="1", in_chord=True))

    tasks.ACTIONS["sibling"] = count_it
    run(link, member)
    job = row(member)
    assert (job.state, job.attempt, job.retries, User.objects.count()) == ("scheduled", 0, 0, 0)
    assert "commit() was overtaken" in caplog.text
    tasks.ACTIONS["sibling"] = lambda task: None
    link._open().execute("UPDATE jobs_job SET run_at = now() WHERE id = %s", (member,))
    link.rows("promote", limit=10, aging_us=1)
    run(link, member)
    assert (row(member).state, User.objects.count(), Chord.objects.get().done) == ("completed", 1, 2)
    assert row(job_key(body.id)).state == "pending"


def test_a_cancel_in_the_block_rolls_it_back_and_holds(link: Link) -> None:
    result = tasks.meanwhile.delay("ann", "cancel")

    def ask(task: Any) -> None:
        with opened() as other:
            other.rows("request_cancel", ids=[job_key(result.id)], actor="ada", reason="", ip=None)

    tasks.ACTIONS["cancel"] = ask
    job = run_result(link, result)
    assert (job.state, User.objects.count()) == ("cancelled", 0)
    assert cancel([job.pk], actor="ada") == ([], [])
