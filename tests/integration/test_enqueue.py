"""Every door into the table: one row, in the caller's transaction, and never a word to the broker."""

import asyncio
import uuid

import pytest
from asgiref.sync import sync_to_async
from celery import chain, current_app, group, shared_task, signals
from django.contrib.auth.models import User
from django.db import connection, connections, transaction

from jobs.engine import NewJob, enqueue
from jobs.engine.link import Link
from jobs.errors import InvalidJob
from jobs.models import Job
from tests.support.engine import run_result, unsent
from tests.support.rows import make_job
from tests.support.tasks import add

pytestmark = pytest.mark.usefixtures("link")


@shared_task(track=False)
def untracked():
    return None


far = unsent()


@far.task(name="far.add")
def far_add(x, y):
    return x + y


DOORS = {
    "delay": lambda: far_add.delay(1, 2),
    "apply_async": lambda: far_add.apply_async((1,), {"y": 2}),
    "send_task": lambda: far.send_task("far.add", (1, 2)),
    "send_task of a task registered elsewhere": lambda: far.send_task("else.where", (1, 2)),
    "signature": lambda: far_add.s(1, 2).delay(),
    "signature of a task registered elsewhere": lambda: far.signature("else.where", (1, 2)).delay(),
    "group": lambda: group([far_add.s(1, 2)], app=far).apply_async()[0],
    "chain": lambda: chain(far_add.s(1, 2), far_add.s(3), app=far).apply_async().parent,
    "engine": lambda: enqueue(NewJob(task="far.add")),
}


@pytest.fixture(params=DOORS.values(), ids=DOORS)
def door(request):
    return request.param


def test_a_call_is_a_row_and_needs_no_broker(door) -> None:
    result = door()
    job = Job.objects.get()
    assert str(job.pk) == str(getattr(result, "id", result))
    assert (job.state, job.queue, job.priority, job.attempt, job.epoch) == ("pending", "default", 10, 0, 1)


def test_a_rollback_takes_the_job_with_it(door) -> None:
    with transaction.atomic():
        door()
        transaction.set_rollback(True)
    assert not Job.objects.exists()


def test_a_commit_brings_the_job(door, link: Link) -> None:
    with transaction.atomic():
        User.objects.create(username="a")
        door()
        assert link.rows("ready_queues") == [], "nobody else sees it before the commit"
    assert Job.objects.count() == 1
    assert [row[0] for row in link.rows("ready_queues")] == ["default"]


def test_a_savepoint_rolled_back_takes_only_its_own_jobs() -> None:
    with transaction.atomic():
        kept = add.delay(1, 2)
        with transaction.atomic():
            add.delay(3, 4)
            transaction.set_rollback(True)
    assert str(Job.objects.get().pk) == kept.id


def test_in_an_event_loop_a_call_is_committed_at_once(link: Link) -> None:
    async def view():
        results = [add.delay(1, 2), await add.adelay(3, 4), await add.aapply_async((5, 6), priority=1)]
        await sync_to_async(connections.close_all)()
        return results

    results = asyncio.run(view())
    assert {str(pk) for pk in Job.objects.values_list("pk", flat=True)} == {result.id for result in results}


def test_with_autocommit_off_by_hand_a_job_waits_for_the_commit() -> None:
    connection.set_autocommit(False)
    try:
        add.delay(1, 2)
        connection.rollback()
        add.delay(3, 4)
        connection.commit()
    finally:
        connection.set_autocommit(True)
    assert Job.objects.get().args == "[3, 4]"


def test_any_text_is_an_id(link: Link) -> None:
    ids = ["nightly", str(uuid.uuid5(uuid.NAMESPACE_URL, "x")), "a/b ü", "x" * 500]
    for id_ in ids:
        assert add.apply_async((1, 2), task_id=id_).id == id_
    assert Job.objects.count() == 4
    assert add.apply_async((1, 2), task_id="").id, "an empty id is none"


def test_a_live_id_keeps_its_row() -> None:
    add.apply_async((1, 2), task_id="nightly")
    add.apply_async((3, 4), task_id="nightly", priority=99)
    assert (Job.objects.get().args, Job.objects.get().priority, Job.objects.get().epoch) == ("[1, 2]", 10, 1)


@pytest.mark.parametrize("state", ["completed", "dead_letter", "failed", "expired", "cancelled"])
def test_a_finished_id_starts_a_new_epoch_without_a_trace_of_the_old(state: str) -> None:
    old = make_job(state=state, error="x", result=1, retries=2, attempt=3, strikes=1, progress={"current": 1})
    add.apply_async((3, 4), task_id=str(old))
    job = Job.objects.get()
    assert (job.epoch, job.state, job.args) == (2, "pending", "[3, 4]")
    assert (job.error, job.result, job.progress, job.worker, job.started_at, job.finished_at) == (None,) * 6
    assert (job.attempt, job.retries, job.strikes) == (0, 0, 0)


def test_headers_that_instrumentation_adds_come_back_in_the_worker(link: Link) -> None:
    def trace(headers, **_):
        headers["trace"] = "abc"

    signals.before_task_publish.connect(trace)
    try:
        result = headers_of.apply_async(headers={"mine": 1})
    finally:
        signals.before_task_publish.disconnect(trace)
    run_result(link, result)
    assert result.get(timeout=1) == [{"trace": "abc", "mine": 1}, "abc"]


@shared_task(bind=True)
def headers_of(self):
    return [self.request.headers, self.request.trace]


def test_a_job_called_inside_another_knows_its_parent_and_commits_with_it(link: Link) -> None:
    parent = run_result(link, calls.delay())
    child = Job.objects.exclude(pk=parent.pk).get()
    assert (
        child.options == f'{{"root_id": "{parent.pk}", "parent_id": "{parent.pk}"}}' or str(parent.pk) in child.options
    )


@shared_task
def calls():
    return add.delay(1, 2).id


def test_an_untracked_task_is_stock_celery() -> None:
    with current_app.connection_for_write() as broker:
        broker.default_channel.queue_purge("jobs.untracked")
        untracked.delay()
        declared_queue = broker.default_channel.queue_declare("jobs.untracked", durable=True, auto_delete=False)
        broker.default_channel.queue_purge("jobs.untracked")
    assert (declared_queue.message_count, Job.objects.count()) == (1, 0)


@pytest.fixture
def elsewhere():
    """An open transaction on another alias."""
    other = connection.copy("other")
    other.connect()
    connections["other"] = other
    connections.databases["other"] = other.settings_dict
    with transaction.atomic(using="other"):
        yield
    other.close()
    del connections["other"], connections.databases["other"]


def test_a_transaction_that_is_open_elsewhere_only_is_warned_of(elsewhere: None) -> None:
    with pytest.warns(RuntimeWarning, match="while a transaction is open on the database 'other', but jobs live in"):
        add.delay(1, 2)
    with pytest.warns(RuntimeWarning, match="it is committed now, whatever becomes of that transaction"):
        add.delay(1, 2)
    assert Job.objects.count() == 2


def test_a_transaction_that_is_open_elsewhere_only_is_refused_when_strict(elsewhere: None, settings) -> None:
    settings.JOBS_STRICT = True
    with pytest.raises(InvalidJob, match=r"Open transaction.atomic\(using='default'\) too"):
        add.delay(1, 2)
    assert not Job.objects.exists()
    with transaction.atomic():
        add.delay(1, 2)
    assert Job.objects.count() == 1
