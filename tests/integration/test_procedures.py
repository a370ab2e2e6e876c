"""What of the engine lives in the database is there after every migrate, and is what this release wants."""

import re
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import call_command
from django.db import connection, connections, router, transaction

from jobs.engine import queues
from jobs.engine.enqueue import enqueue
from jobs.engine.like import Like, enqueue_like
from jobs.engine.link import Link
from jobs.engine.newjob import NewJob
from jobs.engine.procedures import make_procedures
from jobs.engine.sql import statement
from jobs.models import Job
from tests.support.engine import row
from tests.support.rows import state_of
from tests.support.tasks import noop

SOURCE = "SELECT prosrc FROM pg_proc WHERE proname = 'jobs_insert'"
OTHER = "CREATE OR REPLACE PROCEDURE jobs_insert() LANGUAGE sql AS 'SELECT 1'"
DROP = "DROP PROCEDURE jobs_insert"


def run(text: str) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetchall() if cursor.description else []


def columns(job: Job) -> dict[str, Any]:
    """All but what the clock says."""
    own = {"id", "created_at", "updated_at", "ready_at", "rank"}
    return {field.attname: getattr(job, field.attname) for field in Job._meta.fields if field.attname not in own}


def test_a_migrate_makes_what_is_missing(transactional_db: None) -> None:
    run(DROP)
    call_command("migrate", verbosity=0)
    assert [noop.delay().id for _ in range(2)] == [
        str(pk) for pk in Job.objects.order_by("created_at").values_list("pk", flat=True)
    ]


def test_a_migrate_replaces_what_an_older_release_has_made(transactional_db: None) -> None:
    wanted = run(SOURCE)
    text = statement("insert_procedure")
    run(text.replace("'pending'", "'blocked'"))
    assert run(SOURCE) != wanted
    call_command("migrate", verbosity=0)
    assert run(SOURCE) == wanted


def test_a_migrate_by_another_role_leaves_alone_what_is_as_it_should_be(transactional_db: None) -> None:
    run("CREATE ROLE jobs_tests_other; GRANT ALL ON ALL TABLES IN SCHEMA public TO jobs_tests_other")
    try:
        run("SET ROLE jobs_tests_other")
        call_command("migrate", verbosity=0)
    finally:
        run("RESET ROLE; DROP OWNED BY jobs_tests_other; DROP ROLE jobs_tests_other")


def test_a_database_that_holds_no_jobs_gets_nothing(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    class Elsewhere:
        def allow_migrate(self, db: str, app_label: str, **_: Any) -> bool | None:
            return False if app_label == "jobs" else None

    run(DROP)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(router, "routers", [Elsewhere()])
            call_command("migrate", verbosity=0)
        assert run(SOURCE) == []
    finally:
        call_command("migrate", verbosity=0)
    assert run(SOURCE)


@pytest.mark.parametrize(
    ("taken", "given_back"),
    [
        (
            "ALTER PROCEDURE jobs_insert RENAME TO jobs_insert_away",
            "ALTER PROCEDURE jobs_insert_away RENAME TO jobs_insert",
        ),
        (
            "CREATE ROLE jobs_tests_other; GRANT ALL ON ALL TABLES IN SCHEMA public TO jobs_tests_other; "
            "REVOKE EXECUTE ON PROCEDURE jobs_insert FROM PUBLIC; SET ROLE jobs_tests_other",
            "RESET ROLE; GRANT EXECUTE ON PROCEDURE jobs_insert TO PUBLIC; DROP OWNED BY jobs_tests_other; "
            "DROP ROLE jobs_tests_other",
        ),
    ],
    ids=["a restore without it", "nobody was granted it"],
)
def test_where_it_is_missing_calls_are_written_without_it(link: Link, taken: str, given_back: str) -> None:
    run(taken)
    queues.forget()
    try:
        with transaction.atomic():
            made = [noop.delay().id for _ in range(3)]
    finally:
        run(given_back)
    assert [state_of(id_) for id_ in made] == ["pending"] * 3


@pytest.mark.parametrize("other", ["id text", "lead integer", "max_retries text", "tags text", "chord text"])
def test_one_that_others_made_in_a_later_schema_is_not_taken_for_it(link: Link, other: str) -> None:
    theirs = re.sub(rf"\b{other.split()[0]} \w+", other, statement("insert_procedure").split("LANGUAGE")[0])
    run(
        theirs.replace("jobs_insert", "jobs_tests_later.jobs_insert").join(
            ["CREATE SCHEMA jobs_tests_later; ", "LANGUAGE sql AS ''; SET search_path = public, jobs_tests_later"]
        )
    )
    try:
        job = NewJob(task="x", priority=0, max_retries=None)
        assert state_of(UUID(enqueue_like(Like(job), job.args, job.kwargs))) == "pending"
    finally:
        run("RESET search_path; DROP SCHEMA jobs_tests_later CASCADE")


def test_a_database_of_another_kind_is_left_alone() -> None:
    lite = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:", "OPTIONS": {}}
    connections.databases["other"] = connection.settings_dict | lite
    try:
        make_procedures(using="other")
    finally:
        del connections["other"], connections.databases["other"]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {
            "name": "it's",
            "queue": "mail",
            "priority": -3,
            "max_retries": None,
            "options": "{}",
            "tags": '{"a": "1"}',
            "reference_type": "shop.order",
            "reference_id": "7",
            "created_by": "me",
            "chord": uuid4(),
        },
    ],
    ids=["plain", "all columns"],
)
def test_the_procedure_and_the_statement_write_the_same_row(link: Link, given: dict[str, Any]) -> None:
    job = NewJob(task="x", args="[1]", kwargs='{"a": "\\u00fc"}', **given)
    first, second = row(enqueue(job)), row(enqueue_like(Like(job), job.args, job.kwargs))
    assert columns(first) == columns(second)
    assert second.rank == round(second.ready_at.timestamp() * 1e6) - job.priority * 360_000_000
    assert second.ready_at == second.created_at == second.updated_at > first.created_at
