"""The admin as a viewer, an operator and a superuser meet it."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from jobs.engine.dispatch import LOCK_FAMILY
from jobs.engine.newjob import job_key
from jobs.models import AuditEntry, Queue
from tests.support.admin import DEAD_LETTERS, JOBS, page, select, text
from tests.support.rows import make_attempt, make_job, make_worker, state_of

pytestmark = pytest.mark.django_db

SCRIPT = "<script>alert(1)</script>"


# Jobs


def test_the_list_says_state_queue_attempt_and_worker(viewer: Client) -> None:
    make_job(state="dead_letter", name="for alice", queue="reports", priority=30, attempt=4, max_retries=3)
    found = text(viewer, JOBS)
    for word in ("tests.support.tasks.add · for alice", "dead letter", "reports", "30", "4 of 4", "worker@test", "now"):
        assert word in found


def test_a_page_of_a_hundred_jobs_costs_a_fixed_number_of_queries(
    viewer: Client, django_assert_max_num_queries
) -> None:
    for number in range(110):
        make_job(task=f"task{number}", queue=f"q{number % 7}")
    with django_assert_max_num_queries(16):
        found = text(viewer, JOBS)
    assert found.count('class="action-select"') == 0
    assert found.count('class="field-queue"') == 100


def test_jobs_of_a_final_state_come_by_their_end(viewer: Client) -> None:
    now = datetime.now(UTC)
    early = make_job(state="completed", created_at=now, finished_at=now - timedelta(hours=1))
    late = make_job(state="completed", created_at=now - timedelta(hours=2), finished_at=now)
    assert [job.pk for job in viewer.get(JOBS).context["cl"].result_list] == [early, late]
    assert [job.pk for job in viewer.get(JOBS, {"state": "completed"}).context["cl"].result_list] == [late, early]


def test_counting_stops_at_the_cap(viewer: Client, monkeypatch) -> None:
    monkeypatch.setattr("jobs.admin.big_tables.CappedPaginator.most", 5)
    for _ in range(7):
        make_job()
    assert "Counting stops here" in text(viewer, JOBS)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"state": "dead_letter"}, {"dead"}),
        ({"state": "pending"}, {"waiting"}),
        ({"queue": "mail"}, {"dead"}),
        ({"task": "tests.support.tasks.noop"}, {"waiting"}),
        ({"state": "running"}, set()),
    ],
)
def test_filters_narrow_by_state_queue_and_task(viewer: Client, query: dict[str, str], expected: set[str]) -> None:
    Queue.objects.create(name="mail")
    make_job(state="dead_letter", name="dead", queue="mail")
    make_job(name="waiting", task="tests.support.tasks.noop")
    shown = viewer.get(JOBS, query).context["cl"].result_list
    assert {job.name for job in shown} == expected


def test_search_is_by_whole_id_text_id_or_task(viewer: Client) -> None:
    one, named, other = make_job(), make_job(id=job_key("invoice-17"), task="a.b"), make_job(task="a.b")
    asked = {str(one): {one}, "invoice-17": {named}, "a.b": {named, other}, "a.": set(), f" {one} ": {one}}
    for term, expected in asked.items():
        shown = viewer.get(JOBS, {"q": term}).context["cl"].result_list
        assert {job.pk for job in shown} == expected, term
    assert viewer.get(JOBS, {"q": "a\x00"}).status_code == 200


def test_nothing_of_a_row_is_markup(superuser: Client) -> None:
    job_id = make_job(
        task=SCRIPT,
        name=SCRIPT,
        queue=SCRIPT,
        state="dead_letter",
        args=[SCRIPT],
        kwargs={SCRIPT: SCRIPT},
        error=SCRIPT,
        tags={"x": SCRIPT},
        progress={"message": SCRIPT},
        result={"y": SCRIPT},
        options={"task_id": SCRIPT},
        worker=SCRIPT,
        unique_key=None,
        created_by=SCRIPT,
        reference_type=SCRIPT,
        reference_id=SCRIPT,
    )
    make_attempt(job_id, error=SCRIPT, traceback=SCRIPT, worker=SCRIPT)
    Queue.objects.create(name=SCRIPT, paused_at=datetime.now(UTC), paused_reason=SCRIPT)
    make_worker(name=SCRIPT, host=SCRIPT, queues=[SCRIPT])
    who = {"actor": SCRIPT, "action": SCRIPT, "resource_type": SCRIPT, "resource_id": SCRIPT}
    AuditEntry.objects.create(**who, detail={"x": SCRIPT})
    make_job(queue="a<script>b")
    pages = [
        JOBS,
        DEAD_LETTERS,
        page(job_id),
        reverse("admin:index"),
        reverse("admin:jobs_queue_changelist"),
        reverse("admin:jobs_worker_changelist"),
        reverse("admin:jobs_auditentry_changelist"),
        reverse("admin:jobs_queue_change", args=[SCRIPT.replace("/", "_2F").replace("<", "_3C").replace(">", "_3E")]),
    ]
    for url in pages:
        found = text(superuser, url)
        assert SCRIPT not in found, url
        assert "<script>b" not in found, url
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text(superuser, page(job_id))


def test_the_page_shows_everything_of_a_job_and_its_attempts(viewer: Client, settings) -> None:
    settings.FLOWER_URL = "http://flower.test/"
    job_id = make_job(
        state="dead_letter", args=[1, {"a": "é"}], error="ValueError: no luck", options={"task_id": "a b/c"}, epoch=2
    )
    make_attempt(job_id, epoch=2, error="ValueError: no luck", traceback="Traceback (most recent call last)")
    make_attempt(job_id, epoch=1, number=3, end="lost")
    found = text(viewer, page(job_id))
    for part in (
        "ValueError: no luck",
        "Traceback (most recent call last)",
        "&quot;a&quot;: &quot;é&quot;",
        "before a requeue",
        'href="http://flower.test/task/a%20b%2Fc"',
        "lost",
    ):
        assert part in found, part


@pytest.mark.parametrize("result", [r'"\ud800"', "{broken", '"' + "x" * 30_000 + '"', "[" * 100_000])
def test_a_result_that_is_broken_or_huge_is_still_shown(viewer: Client, result: str) -> None:
    job_id = make_job(state="completed")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_job SET result = %s WHERE id = %s", [result, job_id])
    assert len(text(viewer, page(job_id))) < 60_000


def test_jobs_are_never_added_changed_or_deleted_here(superuser: Client) -> None:
    job_id = make_job(state="dead_letter")
    assert superuser.get(reverse("admin:jobs_job_add")).status_code == 403
    assert superuser.post(page(job_id), {"task": "other"}).status_code == 403
    assert superuser.post(reverse("admin:jobs_job_delete", args=[job_id]), {"post": "yes"}).status_code == 403
    select(superuser, JOBS, job_id, action="delete_selected")
    assert state_of(job_id) == "dead_letter"


# The front page


def test_jobs_that_wait_for_nobody_are_announced(viewer: Client) -> None:
    index = reverse("admin:index")
    assert "jobs-notices" not in text(viewer, index)
    for _ in range(12):
        make_job()
    for url in (index, JOBS):
        found = text(viewer, url)
        assert "12 jobs wait and no dispatcher is running: start <code>python3 manage.py dispatch</code>" in found
        assert "12 jobs wait and no worker is running" in found
    make_worker(queues=["mail"])
    assert "Jobs wait that no worker serves, in default" in text(viewer, index)
    make_worker()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, 1)", [LOCK_FAMILY])
    assert "jobs-notices" not in text(viewer, index)


def test_the_front_page_leads_to_flower(viewer: Client, settings) -> None:
    settings.FLOWER_URL = "http://flower.test/"
    assert text(viewer, reverse("admin:index")).count('href="http://flower.test/"') == 2
    settings.FLOWER_URL = ""
    assert "Flower" not in text(viewer, reverse("admin:index"))
