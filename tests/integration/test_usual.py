"""Calls one by one that are alike: the first is prepared, and whatever may tell another from it is looked at."""

import asyncio
import cProfile
import runpy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from celery import current_app, shared_task, signals
from django.contrib.auth.models import User
from django.db import DatabaseError, OperationalError, connection, connections, transaction
from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.transaction import TransactionManagementError
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kombu.utils.json import loads

from jobs.app.following import following
from jobs.app.options import new_job
from jobs.engine import direct, queues
from jobs.engine.direct import is_unwatched, run
from jobs.engine.link import Link
from jobs.errors import InvalidJob, QueueFull
from jobs.models import Job, Queue
from tests.support.engine import row, run_result

pytestmark = pytest.mark.usefixtures("link")


@shared_task(max_retries=2)
def note(*args, **kwargs):
    return None


@shared_task(unique_key=lambda n=None: n)
def one_for_each(n=None):
    return None


@shared_task(bind=True)
def calls(self):
    return [note.delay(n).id for n in (1, 2)]


@shared_task
def calls_as(**options):
    return note.apply_async(**options).id


@shared_task
def goes_on():
    """How many jobs it called are on record: after a call, and after one that follows from it."""
    seen = []
    for what in (nullcontext, following):
        with what():
            note.delay(1)
        seen.append(Job.objects.filter(task=note.name, args="[1]").count())
    return seen


def counted(call: Callable[[], Any]) -> tuple[Any, int, int]:
    """What a call returns, how many jobs were prepared, and how many written past Django's cursors."""
    with cProfile.Profile() as profile:
        made = call()
    codes = [entry.code for entry in profile.getstats() for _ in range(entry.callcount)]
    return made, codes.count(new_job.__code__), codes.count(run.__code__)


@pytest.fixture(autouse=True)
def usual(link: Link) -> Any:
    """The task was called before, so that it is known what its calls are like."""
    current_app.conf.derived.clear()
    return note.delay(0)


def columns(result: Any) -> dict[str, Any]:
    own = {"id", "args", "kwargs", "created_at", "updated_at", "ready_at", "rank"}
    job = row(result.id)
    return {field.attname: getattr(job, field.attname) for field in Job._meta.fields if field.attname not in own}


def test_a_call_that_begins_its_transaction_is_like_the_others() -> None:
    with transaction.atomic():
        assert counted(lambda: note.delay(1))[1:] == (0, 1)
        assert counted(lambda: note.delay(2))[1:] == (0, 1)
        transaction.set_rollback(True)
    assert Job.objects.count() == 1


def test_the_second_call_is_not_prepared_and_its_job_is_like_the_first(usual: Any) -> None:
    result, prepared, direct = counted(lambda: note.delay(1, word="a"))
    assert (prepared, direct) == (0, 1)
    assert columns(result) == columns(usual)
    job = row(result.id)
    assert (loads(job.args), loads(job.kwargs), job.max_retries) == ([1], {"word": "a"}, 2)
    assert job.ready_at == job.created_at == job.updated_at > row(usual.id).created_at
    assert job.rank == round(job.ready_at.timestamp() * 1e6) - 10 * 360_000_000


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text("'\\%\"$({)}:;-sé\n\0😀", max_size=5), st.text("'\\%\"$({)}:;-sé\n😀", max_size=9)))
def test_whatever_the_arguments_hold_arrives_as_it_was(words: dict[str, str]) -> None:
    words = {name.replace("\0", ""): word for name, word in words.items()}
    with transaction.atomic():
        result, _, direct = counted(lambda: note.delay(words))
        assert direct == 1
        assert loads(row(result.id).args) == [words]
        transaction.set_rollback(True)


@pytest.mark.parametrize("text", ["it's", "100 %", "%(id)s", "a\\b", "é", "$1", "{id}"])
def test_whatever_the_options_hold_arrives_as_it_was(text: str) -> None:
    options = {"queue": text, "shadow": text, "created_by": text}
    first, second = (note.apply_async((n,), **options) for n in (1, 2))
    assert columns(first) == columns(second)
    job = row(second.id)
    assert (job.queue, job.name, job.created_by) == (text, text, text)


def forget_routes() -> None:
    current_app.amqp.flush_routes()
    current_app.amqp.__dict__.pop("router", None)


def trace(headers: dict[str, Any], **_: Any) -> None:
    headers["trace"] = "x"


@pytest.mark.parametrize(
    ("change", "undo", "column", "value"),
    [
        (
            lambda: current_app.conf.update(task_time_limit=7),
            lambda: current_app.conf.update(task_time_limit=None),
            "options",
            '"time_limit": 7',
        ),
        (
            lambda: current_app.conf.update(task_routes={note.name: {"queue": "mail"}}),
            lambda: current_app.conf.update(task_routes=None),
            "queue",
            "mail",
        ),
        (lambda: setattr(note, "max_retries", 9), lambda: setattr(note, "max_retries", 2), "max_retries", 9),
        (lambda: setattr(note, "ignore_result", True), lambda: setattr(note, "ignore_result", False), "options", "ign"),
        (
            lambda: signals.before_task_publish.connect(trace),
            lambda: signals.before_task_publish.disconnect(trace),
            "options",
            '"trace": "x"',
        ),
    ],
    ids=["a setting of Celery's", "a route", "max_retries", "ignore_result", "instrumentation"],
)
def test_what_changes_after_the_first_call_is_seen(change: Any, undo: Any, column: str, value: Any) -> None:
    change()
    forget_routes()
    try:
        found = getattr(row(note.delay().id), column)
    finally:
        undo()
        forget_routes()
    assert value in found if isinstance(value, str) else value == found


def test_a_setting_of_the_platform_is_seen_when_it_changes() -> None:
    with override_settings(JOBS_DEFAULT_PRIORITY=3):
        assert row(note.delay().id).priority == 3
    assert row(note.delay().id).priority == 10


def test_an_option_that_only_looks_the_same_is_looked_at() -> None:
    note.apply_async(priority=1)
    with pytest.raises(InvalidJob, match="Priority True is not known"):
        note.apply_async(priority=True)
    assert row(note.apply_async(priority=2).id).priority == 2


def test_a_job_that_waits_is_prepared_each_time() -> None:
    for _ in range(2):
        result, prepared, direct = counted(lambda: note.apply_async(countdown=60))
        assert (prepared, direct, row(result.id).state) == (1, 0, "scheduled")


def test_an_option_that_is_no_longer_there_is_seen() -> None:
    assert row(note.apply_async(created_by="me").id).created_by == "me"
    assert row(note.apply_async(reply_to="me").id).created_by is None
    assert row(note.apply_async().id).created_by is None


def test_an_option_that_was_changed_in_place_is_seen() -> None:
    tags = {"shop": "1"}
    note.apply_async(tags=tags)
    tags["shop"] = "2"
    assert row(note.apply_async(tags=tags).id).tags == {"shop": "2"}


def test_a_route_that_looks_at_the_arguments_looks_at_each() -> None:
    current_app.conf.task_routes = (lambda name, args, kwargs, options, task=None: {"queue": args[0]},)
    forget_routes()
    try:
        assert [row(note.delay(queue).id).queue for queue in ("a", "b")] == ["a", "b"]
    finally:
        current_app.conf.task_routes = None
        forget_routes()


def test_what_is_refused_once_is_refused_again() -> None:
    for _ in range(2):
        with pytest.raises(InvalidJob, match="must be text of at most 500 characters"):
            note.apply_async(shadow="x" * 501)


def test_what_is_kept_of_a_call_has_none_of_its_arguments() -> None:
    note.apply_async(("secret",), {"word": "secret"}, priority=1)
    kept = current_app.conf.derived[note.name]
    assert (kept.like.job.priority, kept.like.job.args, kept.like.job.kwargs) == (1, "[]", "{}")


def test_a_task_under_two_names_has_the_one_it_was_called_by(usual: Any) -> None:
    current_app.tasks["its.old.name"] = current_app.tasks[note.name]
    try:
        names = [name for name in ("its.old.name", note.name) for _ in "ab"]
        assert [row(current_app.send_task(name).id).task for name in names] == names
    finally:
        del current_app.tasks["its.old.name"]


def test_a_task_that_takes_the_place_of_another_says_for_itself_what_its_calls_are_like() -> None:
    def body() -> None: ...

    for on_lost in ("dead_letter", "retry"):
        task = current_app.task(body, name="replaced", on_lost=on_lost)
        try:
            said = [row(task.delay().id).options for _ in "ab"]
        finally:
            del current_app.tasks["replaced"]
        assert said == ['{"on_lost": "dead_letter"}' if on_lost == "dead_letter" else None] * 2


def test_a_key_made_from_the_arguments_is_made_for_each() -> None:
    assert [row(one_for_each.delay(*args).id).unique_key for args in ((), (), (7,))] == [None, None, "7"]


class Changing:
    """An argument, on whose way to JSON a setting changes."""

    def __json__(self) -> int:
        current_app.conf.task_time_limit = 7
        return 1


def test_a_call_that_was_prepared_while_a_setting_changed_is_not_what_later_ones_are_like() -> None:
    current_app.conf.derived.clear()
    try:
        note.delay(Changing())
        assert loads(row(note.delay().id).options) == {"time_limit": 7.0}
    finally:
        current_app.conf.task_time_limit = None


def test_an_id_of_ones_own_is_never_that_of_another_call() -> None:
    assert [note.apply_async(task_id=id_).id for id_ in ("a", "a", "b")] == ["a", "a", "b"]
    assert Job.objects.count() == 3


def test_bad_arguments_are_refused_before_any_sql_and_the_transaction_goes_on() -> None:
    with transaction.atomic():
        with CaptureQueriesContext(connection) as captured:
            for bad in (float("nan"), object(), "\0", "\ud800"):
                with pytest.raises(InvalidJob):
                    note.delay(bad)
        assert len(captured) == 0
        note.delay("good")
    assert Job.objects.count() == 2


def test_a_full_queue_refuses_the_call_and_the_transaction_goes_on() -> None:
    Queue.objects.create(name="small", max_size=2)
    with transaction.atomic():
        for _ in range(2):
            note.apply_async(queue="small")
        with pytest.raises(QueueFull):
            note.apply_async(queue="small")
        note.delay()
    assert Job.objects.filter(queue="small").count() == 2


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({"root_id": "r"}, {"root_id": "r"}, "parent_id"),
        ({"task_id": "x", "root_id": "r"}, {"task_id": "x", "root_id": "s"}, "root_id"),
    ],
    ids=["another parent of one root", "another root of one parent"],
)
def test_jobs_called_in_a_run_know_its_family(link: Link, first: Any, second: Any, said: str) -> None:
    for options in (first, second):
        result = calls.apply_async(**options)
        parent = run_result(link, result)
        children = [loads(row(child).options) for child in loads(parent.result)]
        family = {"parent_id": result.id, "root_id": options["root_id"]}
        assert [child[said] for child in children] == [family[said]] * 2


def test_what_a_task_calls_in_its_next_run_is_not_prepared_anew(link: Link) -> None:
    run_result(link, calls.delay())
    parent, prepared, direct = counted(lambda: run_result(link, calls.delay()))
    assert (prepared, direct) == (0, 3)
    children = [row(child) for child in loads(parent.result)]
    family = {"root_id": str(parent.pk), "parent_id": str(parent.pk)}
    assert [loads(child.options) for child in children] == [family] * 2


def test_a_run_that_calls_again_is_not_taken_for_the_one_in_between(link: Link) -> None:
    for id_ in ("x", "y", "x"):
        parent = run_result(link, calls.apply_async(task_id=id_))
        assert [loads(row(child).options)["parent_id"] for child in loads(parent.result)] == [id_] * 2


def test_a_call_outside_of_a_run_has_no_parent(link: Link) -> None:
    run_result(link, calls.delay())
    assert row(note.delay().id).options is None


@pytest.mark.parametrize("given", ["root_id", "parent_id"])
def test_a_root_or_parent_that_a_call_names_itself_goes_before(link: Link, given: str) -> None:
    for _ in range(2):
        parent = run_result(link, calls_as.delay(**{given: "mine"}))
        said = loads(row(loads(parent.result)).options)
        assert said == {"root_id": str(parent.pk), "parent_id": str(parent.pk)} | {given: "mine"}


def test_jobs_called_in_a_run_inherit_the_priority_that_it_has_now(link: Link) -> None:
    with override_settings(CELERY_TASK_INHERIT_PARENT_PRIORITY=True):
        parents = [run_result(link, calls.apply_async(task_id="x", priority=priority)) for priority in (3, 4)]
        children = [child for parent in parents for child in loads(parent.result)]
    assert sorted(Job.objects.filter(task=note.name).exclude(args="[0]").values_list("priority", flat=True)) == [
        3,
        3,
        4,
        4,
    ], children


def test_a_job_that_follows_from_the_run_waits_for_its_outcome(link: Link) -> None:
    assert run_result(link, goes_on.delay()).result == "[1, 1]"
    assert Job.objects.filter(task=note.name).count() == 3


def test_a_call_gathered_with_others_is_inserted_with_them() -> None:
    with current_app.producer_or_acquire():
        result = note.delay(1)
        assert Job.objects.count() == 1
    assert row(result.id).args == "[1]"


def test_who_watches_the_connection_sees_every_call() -> None:
    seen = []

    def watch(execute, sql, params, many, context):
        seen.append(sql)
        return execute(sql, params, many, context)

    with transaction.atomic(), connection.execute_wrapper(watch):
        note.delay(1)
        note.delay(2)
    assert len([sql for sql in seen if "INSERT INTO jobs_job" in sql]) == 2


def test_the_log_of_queries_has_every_call() -> None:
    with transaction.atomic(), CaptureQueriesContext(connection) as captured:
        note.delay(1)
        note.delay(2)
    assert len([query for query in captured if "INSERT INTO jobs_job" in query["sql"]]) == 2


def test_a_tracer_in_the_place_of_djangos_cursor_sees_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, execute = [], CursorWrapper.execute

    def traced(self, sql, params=None):
        seen.append(sql)
        return execute(self, sql, params)

    monkeypatch.setattr(CursorWrapper, "execute", traced)
    note.delay(1)
    assert [sql for sql in seen if "INSERT INTO jobs_job" in sql]


class Traced(psycopg.ClientCursor):
    """What instrumentation of the driver makes of its cursors."""


class Tenants(DatabaseWrapper):
    """What chooses a tenant's schema before each statement does so here."""

    def _cursor(self, name=None):
        return super()._cursor(name)


SITUATIONS = {
    "a backend of the site's own": lambda patch: patch.setattr(connections["default"], "__class__", Tenants),
    "a tracer of all connections": lambda patch: patch.setattr(DatabaseWrapper, "cursor", lambda self: self._cursor()),
    "a tracer of what this connection makes": lambda patch: patch.setattr(
        connections["default"], "make_cursor", connection.make_cursor
    ),
    "a tracer of this connection": lambda patch: patch.setattr(connections["default"], "cursor", connection.cursor),
    "a tracer of the driver's cursors": lambda patch: patch.setattr(connection.connection, "cursor_factory", Traced),
    "a tracer in the place of the driver's connection": lambda patch: patch.setattr(
        connections["default"], "connection", SimpleNamespace(**vars(connection.connection))
    ),
    "no connection yet": lambda patch: connection.close(),
    "a connection that is to be looked after": lambda patch: (
        patch.setattr(connections["default"], "health_check_enabled", True),
        patch.setattr(connections["default"], "health_check_done", False),
    ),
    "a transaction that must be rolled back": lambda patch: patch.setattr(
        connections["default"], "needs_rollback", True
    ),
    "a transaction that has failed": lambda patch: connection.connection.pgconn.exec_(b"BEGIN; SELECT 1 / 0"),
}


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS)
def test_djangos_cursor_is_passed_by_only_where_it_adds_nothing(
    situation: Callable[[pytest.MonkeyPatch], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_unwatched(connections["default"])
    with monkeypatch.context() as patch:
        situation(patch)
        assert not is_unwatched(connections["default"])
    connection.close()


def test_a_tracer_that_was_there_first_is_not_taken_for_djangos_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(CursorWrapper, "execute", lambda self, sql, params=None: self._execute(sql, params))
        loaded_later = runpy.run_path(direct.__file__)
        assert not loaded_later["is_unwatched"](connections["default"])


def test_a_test_that_may_use_no_database_is_stopped(django_db_blocker: Any) -> None:
    with django_db_blocker.block(), pytest.raises(RuntimeError, match="Database access not allowed"):
        note.delay()
    assert Job.objects.count() == 1


def test_a_connection_of_another_thread_is_refused_as_django_does() -> None:
    mine = connections["default"]
    with ThreadPoolExecutor(1) as pool, pytest.raises(DatabaseError, match="can only be used in that same thread"):
        pool.submit(run, mine, "SELECT 1").result()


def test_in_a_pipeline_of_the_drivers_a_call_takes_its_turn() -> None:
    queues.forget()  # else what is asked depends on how long ago that was
    with transaction.atomic(), connection.connection.pipeline():
        note.delay(1)
        note.delay(2)
    assert Job.objects.count() == 3


def test_in_a_transaction_that_must_be_rolled_back_a_call_is_refused() -> None:
    with transaction.atomic():
        transaction.set_rollback(True)
        with pytest.raises(TransactionManagementError, match="until the end of the 'atomic' block"):
            note.delay()


def test_in_an_event_loop_a_call_does_not_join_the_transaction_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # else there is no open connection in it

    async def view() -> None:
        with transaction.atomic():
            User.objects.count()
            note.delay("in a loop")
            transaction.set_rollback(True)
        connection.close()

    asyncio.run(view())
    assert Job.objects.count() == 2


def test_a_lost_connection_is_an_error_of_djangos_and_the_next_request_has_another(link: Link) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    link._open().execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    with pytest.raises(OperationalError):
        note.delay()
    connection.close_if_unusable_or_obsolete()
    note.delay()
    assert Job.objects.count() == 2


def test_what_postgresql_refuses_is_djangos_error_and_the_savepoint_can_be_left(link: Link) -> None:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '1ms'")
        with link.transaction():
            link._open().execute("LOCK TABLE jobs_job IN SHARE MODE")
            with pytest.raises(OperationalError, match="lock timeout"), transaction.atomic():
                note.delay()
        note.delay()
    assert Job.objects.count() == 2


def test_calls_in_a_row_wake_the_dispatcher_once() -> None:
    with transaction.atomic():
        for _ in range(3):
            note.delay()
        assert len(connection.run_on_commit) == 1
        transaction.on_commit(int)
        note.delay()
        assert len(connection.run_on_commit) == 3, "in the order of the calls"
        with transaction.atomic():
            note.delay()
        assert len(connection.run_on_commit) == 4, "a savepoint that is rolled back takes only its own wake-up"
