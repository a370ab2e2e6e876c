"""Whatever a task leaves behind in its process, the next job there finds it as it was."""

import json

import pytest
from django.db import connections
from django.db.backends.signals import connection_created

from jobs.app import tidy
from jobs.app.tidy import leaves_state, watch_connections
from jobs.engine.link import Link
from jobs.engine.newjob import job_key
from jobs.models import Attempt
from tests.support.engine import row, run
from tests.support.nasty_tasks import NASTY, backend_pid, harmless, leave_behind, probe, trips_over_a_key


@pytest.fixture(autouse=True)
def _watched(transactional_db):
    watch_connections()
    yield
    connection_created.disconnect(dispatch_uid="jobs.tidy")


def carried(link: Link, *calls) -> list:
    """Run the calls as one carrier; returns what the jobs returned."""
    jobs = [job_key(call.id) for call in calls]
    run(link, *jobs)
    assert [row(job).state for job in jobs] == ["completed"] * len(jobs), [row(job).error for job in jobs]
    return [json.loads(row(job).result or "null") for job in jobs]


def test_the_next_job_finds_what_the_last_one_found(link: Link, settings) -> None:
    settings.JOBS_CARRIER_BUDGET = 60
    calls = [probe.delay()]
    for what in NASTY:
        calls += [leave_behind.delay(what), probe.delay()]
    before, *seen = carried(link, *calls)
    assert {what: after for what, after in zip(NASTY, seen[1::2], strict=True) if after != before} == {}
    assert Attempt.objects.count() == len(calls)


def test_a_connection_that_a_task_made_for_itself_is_not_looked_after_for_ever(link: Link) -> None:
    connection = connections["default"]
    connection.close()
    connection.connect()
    for _ in range(3):
        own = connection.copy()
        own.connect()
        own.close()
    assert tidy._here.opened == [connections["default"]]


def test_what_ends_with_its_transaction_costs_no_connection(link: Link) -> None:
    statements = [
        "SELECT 1",
        "UPDATE auth_user SET username = username",
        "SET LOCAL statement_timeout = 1000",
        "SELECT set_config('app.tenant', 'acme', true)",
        "SELECT pg_advisory_xact_lock(5)",
    ]
    calls = [backend_pid.delay()]
    for statement in statements:
        calls += [harmless.delay(statement), backend_pid.delay()]
    before, *seen = carried(link, *calls)
    assert set(seen[1::2]) == {before}


def test_an_error_that_the_task_expected_costs_no_connection(link: Link) -> None:
    before, said, after = carried(link, backend_pid.delay(), trips_over_a_key.delay(), backend_pid.delay())
    assert (said, before) == ("as expected", after)


@pytest.mark.parametrize(
    ("statement", "leaves"),
    [
        ('UPDATE "t" SET "set" = 1 WHERE "listen" = 2', False),
        ("INSERT INTO settings (temp) VALUES (%s)", False),
        ("SET CONSTRAINTS ALL DEFERRED", False),
        ("RESET ALL", True),
        ("  set search_path to x", True),
        ("SELECT set_config(%s, %s, false)", True),
        ("SELECT set_config(%s, %s, %s)", True),
        ("SELECT * INTO TEMP t FROM x", True),
        ("CREATE LOCAL TEMPORARY TABLE t (x int)", True),
        ("DO $$ BEGIN PERFORM 1; END $$", True),
        ("x" * 5_000 + "; SET ROLE a", True),
    ],
)
def test_statements_that_change_a_session_are_told_from_others(statement: str, leaves: bool) -> None:
    assert leaves_state(statement) is leaves
