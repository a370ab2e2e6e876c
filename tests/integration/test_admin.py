"""The admin as a viewer, an operator and a superuser meet it."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from django_celery_results.models import TaskResult

from jobs.engine.dispatch import LOCK_FAMILY
from jobs.engine.newjob import job_key
from jobs.models import AuditEntry, Job, Queue
from tests.support.rows import make_attempt, make_job, make_worker

pytestmark = pytest.mark.django_db

SCRIPT = "<script>alert(1)</script>"
JOBS = reverse("admin:jobs_job_changelist")
DEAD_LETTERS = reverse("admin:jobs_deadletter_changelist")
VIEWER = ("view_job", "view_queue", "view_worker", "view_auditentry", "view_periodictask")


def signed_in(*codenames: str, superuser: bool = False) -> Client:
    user = User.objects.create_user(f"user{uuid4().hex[:6]}", is_staff=True, is_superuser=superuser)
    found = Permission.objects.filter(codename__in=codenames)
    assert found.count() == len(codenames)
    user.user_permissions.set(found)
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def viewer() -> Client:
    return signed_in(*VIEWER)


@pytest.fixture
def operator() -> Client:
    return signed_in(*VIEWER, "requeue_job", "change_queue")


@pytest.fixture
def superuser() -> Client:
    return signed_in(superuser=True)


def text(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200, answer
    return answer.content.decode()


def page(job_id: UUID) -> str:
    return reverse("admin:jobs_job_change", args=[job_id])


def select(client: Client, url: str, *ids: UUID, **data: str) -> str:
    """The page after an action on the selected rows."""
    data = {"action": "requeue_selected", "_selected_action": [str(id_) for id_ in ids], **data}
    return client.post(url, data, follow=True).content.decode()


def state_of(job_id: UUID) -> str:
    return Job.objects.get(pk=job_id).state


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


# Requeue


def test_an_operator_requeues_dead_letters_and_reads_one_sentence(operator: Client) -> None:
    dead, failed, done = make_job(state="dead_letter"), make_job(state="failed"), make_job(state="completed")
    found = select(operator, JOBS, dead, failed, done, reason="mail is back")
    assert "Requeued 2 jobs; 1 had not failed any more." in found
    assert [state_of(id_) for id_ in (dead, failed, done)] == ["pending", "pending", "completed"]
    entry = AuditEntry.objects.get(resource_id=str(dead))
    assert (entry.action, entry.detail, entry.ip) == ("requeue", {"reason": "mail is back"}, "127.0.0.1")
    assert entry.actor == User.objects.get().username


def test_dead_letters_lists_only_those_and_links_to_the_job(operator: Client) -> None:
    dead, done = make_job(state="dead_letter", error="boom\nmore"), make_job(state="completed")
    found = text(operator, DEAD_LETTERS)
    assert page(dead) in found
    assert str(done) not in found
    assert "boom" in found
    assert "Requeued 1 job." in select(operator, DEAD_LETTERS, dead)
    old = reverse("admin:jobs_deadletter_change", args=[dead])
    assert operator.get(old).headers["Location"] == page(dead)


def test_all_matching_dead_letters_are_requeued_up_to_the_cap(operator: Client, monkeypatch) -> None:
    monkeypatch.setattr("jobs.admin.requeue.MOST", 3)
    ids = [make_job(state="dead_letter") for _ in range(5)]
    found = select(operator, DEAD_LETTERS, ids[0], select_across="1")
    assert "Requeued 3 jobs. There are more than 3: requeue again for the rest." in found
    assert sorted(map(state_of, ids)) == ["dead_letter"] * 2 + ["pending"] * 3


def test_the_page_requeues_its_job_with_a_reason(operator: Client) -> None:
    dead = make_job(state="dead_letter")
    url = reverse("admin:jobs_job_requeue", args=[dead])
    assert url in text(operator, page(dead))
    assert operator.get(url).status_code == 405
    assert "Requeued 1 job." in operator.post(url, {"reason": "again\x00"}, follow=True).content.decode()
    assert "Requeued 0 jobs; 1 had not failed any more." in operator.post(url, follow=True).content.decode()
    assert url not in text(operator, page(dead))
    assert operator.post(reverse("admin:jobs_job_requeue", args=[uuid4()])).status_code == 302


def test_requeue_needs_its_permission_and_the_token(viewer: Client, operator: Client) -> None:
    dead = make_job(state="dead_letter")
    url = reverse("admin:jobs_job_requeue", args=[dead])
    assert "requeue" not in text(viewer, JOBS)
    assert url not in text(viewer, page(dead))
    assert viewer.post(url).status_code == 403
    select(viewer, JOBS, dead)
    select(viewer, DEAD_LETTERS, dead)
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = operator.cookies
    assert strict.post(url).status_code == 403
    assert Client().post(url).status_code == 302
    assert state_of(dead) == "dead_letter"


def test_who_may_not_see_jobs_sees_none_of_them() -> None:
    job_id = make_job(state="dead_letter")
    stranger = signed_in("view_worker", "requeue_job")
    for url in (JOBS, DEAD_LETTERS, page(job_id)):
        assert stranger.get(url).status_code == 403
    assert stranger.post(reverse("admin:jobs_job_requeue", args=[job_id])).status_code == 403
    assert "wait" not in text(stranger, reverse("admin:index"))


# Queues


def change_queue(client: Client, name: str, **data: str) -> str:
    form = {"order": "aging", "aging": "360", "weight": "1", "paused_reason": "", **data}
    return client.post(reverse("admin:jobs_queue_change", args=[name]), form, follow=True).content.decode()


def test_queues_show_what_waits_and_what_workers_hold(viewer: Client, django_assert_max_num_queries) -> None:
    for number in range(12):
        Queue.objects.create(name=f"q{number:02}")
        make_job(queue=f"q{number:02}")
    make_job(queue="q00")
    hold(make_worker(), [make_job(queue="q01", state="running")], queue="q01")
    with django_assert_max_num_queries(10):
        rows = viewer.get(reverse("admin:jobs_queue_changelist")).context["cl"].result_list
    assert [(queue.pending_count, queue.held_count) for queue in rows][:3] == [(2, 0), (1, 1), (1, 0)]


def test_pausing_and_resuming_a_queue_is_audited(operator: Client) -> None:
    Queue.objects.create(name="mail")
    assert "Say why" in change_queue(operator, "mail", paused="on")
    assert not AuditEntry.objects.exists()
    change_queue(operator, "mail", paused="on", paused_reason="SMTP is down")
    paused = Queue.objects.get()
    assert paused.paused_at is not None
    assert "SMTP is down" in text(operator, reverse("admin:jobs_queue_changelist"))
    change_queue(operator, "mail", paused="on", paused_reason="SMTP is down")
    assert AuditEntry.objects.count() == 1, "nothing changed, so nothing is said"
    change_queue(operator, "mail")
    resumed = Queue.objects.get()
    assert (resumed.paused_at, resumed.paused_reason) == (None, "")
    entries = AuditEntry.objects.order_by("id")
    assert [(entry.action, entry.resource_id, entry.ip) for entry in entries] == [
        ("pause", "mail", "127.0.0.1"),
        ("resume", "mail", "127.0.0.1"),
    ]


def test_order_and_weight_of_a_queue_are_changed_and_audited(operator: Client) -> None:
    Queue.objects.create(name="mail")
    change_queue(operator, "mail", order="strict", aging="", weight="3")
    assert Queue.objects.get().is_strict
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.detail["weight"]) == ("change", {"from": 1, "to": 3})
    change_queue(operator, "mail", aging="60", weight="3")
    assert Queue.objects.get().aging_us == 60_000_000
    for wrong in ({"weight": "0"}, {"aging": "0"}, {"aging": ""}, {"order": "x"}):
        assert "errornote" in change_queue(operator, "mail", **wrong)
    assert AuditEntry.objects.count() == 2


def test_a_viewer_changes_no_queue_and_nobody_deletes_one(viewer: Client, superuser: Client) -> None:
    Queue.objects.create(name="mail")
    url = reverse("admin:jobs_queue_change", args=["mail"])
    assert viewer.get(url).status_code == 200
    assert viewer.post(url, {"order": "strict", "weight": "9"}).status_code == 403
    assert superuser.post(reverse("admin:jobs_queue_delete", args=["mail"]), {"post": "yes"}).status_code == 403
    assert superuser.get(reverse("admin:jobs_queue_add")).status_code == 403
    assert Queue.objects.get().weight == 1


# Workers, audit, results, schedules


def hold(worker: UUID, ids: list[UUID], queue: str = "default") -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO jobs_lease (token, queue, routing_key, job_ids, payload, sent_at, worker, won_at) "
            "VALUES (gen_random_uuid(), %s, 'jobs.any', %s, '[]', now(), %s, now())",
            [queue, ids, worker],
        )


def test_workers_are_alive_stopping_silent_stopped_or_lost(viewer: Client) -> None:
    now = datetime.now(UTC)
    long_ago = now - timedelta(hours=1)
    make_worker(name="a@alive", queues=["mail", "low"])
    make_worker(name="b@stopping", stopping_at=now)
    make_worker(name="c@stopped", stopping_at=now, stopped_at=now)
    make_worker(name="d@lost", lost_at=now, heartbeat_at=long_ago)
    make_worker(name="e@silent", heartbeat_at=long_ago)
    found = text(viewer, reverse("admin:jobs_worker_changelist"))
    for words in ("alive, last heartbeat 0 s", "stopping, last", "stopped", "lost", "silent, last heartbeat 1 h ago"):
        assert words in found, words
    assert "mail, low" in found
    assert "d@lost" not in text(viewer, reverse("admin:jobs_worker_changelist") + "?life=now")


def test_a_worker_shows_the_jobs_it_holds(viewer: Client, django_assert_max_num_queries) -> None:
    worker = make_worker()
    ids = [make_job(state="running", task=f"task{number}") for number in range(20)]
    for id_ in ids[:10]:
        hold(worker, [id_])
    hold(worker, [*ids[10:], uuid4()])
    with django_assert_max_num_queries(12):
        found = text(viewer, reverse("admin:jobs_worker_change", args=[worker]))
    assert all(page(id_) in found for id_ in ids)
    blind = signed_in("view_worker")
    assert "task1" not in text(blind, reverse("admin:jobs_worker_change", args=[worker]))


def test_audit_entries_are_found_from_a_job_and_never_changed(operator: Client, superuser: Client) -> None:
    dead = make_job(state="dead_letter")
    select(operator, JOBS, dead)
    AuditEntry.objects.create(actor="w", action="refuse_message", resource_type="message", resource_id="x", detail={})
    url = reverse("admin:jobs_auditentry_changelist") + f"?resource_type=job&resource_id={dead}"
    assert url.replace("&", "&amp;") in text(operator, page(dead))
    assert [entry.action for entry in operator.get(url).context["cl"].result_list] == ["requeue"]
    entry = AuditEntry.objects.latest("id")
    assert text(superuser, reverse("admin:jobs_auditentry_change", args=[entry.pk]))
    assert superuser.post(reverse("admin:jobs_auditentry_change", args=[entry.pk]), {}).status_code == 403
    assert superuser.post(reverse("admin:jobs_auditentry_delete", args=[entry.pk]), {}).status_code == 403


def test_task_results_appear_with_the_first_one(superuser: Client) -> None:
    url = reverse("admin:django_celery_results_taskresult_changelist")
    assert superuser.get(url).status_code == 403
    assert "Celery Results" not in text(superuser, reverse("admin:index"))
    TaskResult.objects.create(task_id="x")
    assert superuser.get(url).status_code == 200
    assert url in text(superuser, reverse("admin:index"))


def test_running_a_schedule_needs_the_permission_to_change_it(viewer: Client, superuser: Client) -> None:
    every = IntervalSchedule.objects.create(every=1, period="days")
    task = PeriodicTask.objects.create(name="x", task="tests.support.tasks.noop", interval=every, enabled=False)
    url = reverse("admin:django_celery_beat_periodictask_changelist")
    for action in ("run_tasks", "enable_tasks", "toggle_tasks"):
        select(viewer, url, task.pk, action=action)
    task.refresh_from_db()
    assert not task.enabled
    assert not Job.objects.exists()
    select(superuser, url, task.pk, action="run_tasks")
    assert Job.objects.get().task == "tests.support.tasks.noop"


def test_a_schedule_chooses_among_the_registered_tasks(superuser: Client) -> None:
    found = text(superuser, reverse("admin:django_celery_beat_periodictask_add"))
    assert '<option value="tests.support.tasks.noop">' in found
    assert '<option value="jobs.run">' not in found
    assert "celery.backend_cleanup" not in found


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
