"""Schedules over the API: what it takes and gives, what it refuses, and that the beat follows at once."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import PeriodicTask

from jobs.models import AuditEntry, Job
from schedules.models import Occurrence
from tests.support import tasks  # noqa: F401  registers them
from tests.support.api import post, problem
from tests.support.rows import make_job
from tests.support.schedules import NOOP, clock, companion, history, make_due, make_schedule, tick

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("api")]

ADD = "tests.support.tasks.add"
URL = "/api/jobs/schedules"
NEW = {"name": "minutely", "task": NOOP, "when": "@every 1m"}


@pytest.fixture(autouse=True)
def _none_stands() -> None:
    PeriodicTask.objects.all().delete()


def send(api: Client, method: str, path: str, body: Any) -> Any:
    return api.generic(method, path, json.dumps(body), content_type="application/json")


def create(api: Client, **given: Any) -> dict[str, Any]:
    answer = post(api, {**NEW, **given}, URL)
    assert answer.status_code == 201, answer.content
    assert answer["Location"] == f"{URL}/{answer.json()['id']}"
    return answer.json()


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def pointers(found: dict[str, Any]) -> list[str]:
    return [error["pointer"] for error in found["errors"]]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("get", URL), ("post", URL), ("post", f"{URL}/preview")),
        *((method, f"{URL}/1") for method in ("get", "put", "patch", "delete")),
        *(("post", f"{URL}/1/{verb}") for verb in ("trigger", "pause", "resume", "backfill")),
        *(("get", f"{URL}/1/{what}") for what in ("preview", "occurrences")),
        *(("get", "/api/admin/scheduled-jobs"), ("post", "/api/admin/scheduled-jobs")),
        *((method, "/api/admin/scheduled-jobs/1") for method in ("get", "put", "delete")),
        ("post", "/api/admin/scheduled-jobs/1/toggle"),
    ],
)
def test_without_the_token_nothing_is_shown_or_done(method: str, path: str) -> None:
    problem(getattr(Client(headers={"Authorization": "Bearer x"}), method)(path), 401, "unauthorized")


def test_a_schedule_is_made_and_read_again(api: Client) -> None:
    made = create(
        api, task=ADD, args=[1], kwargs={"y": 2}, when="0 2 * * mon-fri", timezone="Europe/Berlin", tags={"a": "b"}
    )
    assert isinstance(made["id"], int)
    assert made["words"] == "At 02:00, Monday through Friday (Europe/Berlin)"
    assert (made["when"], made["timezone"], made["args"], made["kwargs"]) == (
        "0 2 * * mon-fri",
        "Europe/Berlin",
        [1],
        {"y": 2},
    )
    assert (made["state"], made["runs"], made["last_run"], made["owner"], made["editable"]) == (
        "enabled",
        0,
        None,
        None,
        True,
    )
    assert moment(made["next_run_at"]) > datetime.now(UTC)
    assert api.get(f"{URL}/{made['id']}").json() == made


def test_a_new_one_is_in_the_audit_log_with_who_and_from_where(api: Client) -> None:
    made = create(api)
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.ip, entry.action, entry.resource_id) == (
        "api token",
        "127.0.0.1",
        "create",
        str(made["id"]),
    )


@pytest.mark.parametrize(
    ("given", "pointer", "says"),
    [
        ({"when": "61 * * * *"}, "/when", "Invalid minute '61'"),
        ({"when": "0 0 30 2 *"}, "/when", "Never due"),
        ({"timezone": "Europe/Berlim"}, "/timezone", "Unknown timezone 'Europe/Berlim'"),
        ({"task": "tests.support.tasks.nop"}, "/task", "Did you mean 'tests.support.tasks.noop'?"),
        ({"kwargs": {"z": 1}}, "/kwargs", "does not take these arguments"),
        ({"args": [1]}, "/args", "Its signature is ()"),
        ({"starts_at": "2100-01-01T00:00Z", "ends_at": "2099-01-01T00:00Z"}, "/ends_at", "end before it starts"),
        ({"queue": "jobs.any"}, "/queue", "platform's own"),
    ],
)
def test_what_makes_no_schedule_is_pointed_at_and_nothing_is_written(
    api: Client, given: Any, pointer: str, says: str
) -> None:
    found = problem(post(api, {**NEW, **given}, URL), 422, "invalid_schedule")
    assert pointers(found) == [pointer]
    assert says in found["detail"]
    assert not PeriodicTask.objects.exists()
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    ("given", "pointer", "says"),
    [
        ({"wehn": 1}, "/wehn", "Unknown field 'wehn', or the same field by two names. Did you mean 'when'?"),
        ({"overlap": "never"}, "/overlap", "'allow'"),
        ({"enabled": "yes"}, "/enabled", "valid boolean"),
        ({"starts_at": "2100-01-01T00:00"}, "/starts_at", "timezone info"),
        ({"starts_at": 5}, "/starts_at", "as text"),
        ({"jitter": -1}, "/jitter", "greater than or equal to 0"),
        ({"priority": 101}, "/priority", "is not known"),
        ({"name": "a\0"}, "/name", "NUL"),
        ({"max_runs": 0}, "/max_runs", "greater than or equal to 1"),
    ],
)
def test_a_field_that_is_none_is_refused(api: Client, given: Any, pointer: str, says: str) -> None:
    found = problem(post(api, {**NEW, **given}, URL), 422, "invalid_body")
    assert pointers(found) == [pointer]
    assert says in found["errors"][0]["detail"]


def test_all_that_is_wrong_is_said_at_once(api: Client) -> None:
    found = problem(post(api, {**NEW, "name": "x" * 200, "task": "no.such", "when": "x"}, URL), 422, "invalid_schedule")
    assert pointers(found) == ["/when"]
    found = problem(post(api, {"name": 1}, URL), 422, "invalid_body")
    assert sorted(pointers(found)) == ["/name", "/task", "/when"]


def test_a_name_is_given_once(api: Client) -> None:
    made = create(api)
    found = problem(post(api, NEW, URL), 422, "invalid_schedule")
    assert pointers(found) == ["/name"]
    assert f"Schedule {made['id']} has the name 'minutely' already" in found["detail"]


def test_put_gives_all_fields_and_patch_some(api: Client) -> None:
    made = create(api, description="first", jitter=5, kwargs={})
    path = f"{URL}/{made['id']}"
    changed = send(api, "PATCH", path, {"when": "@hourly", "enabled": False}).json()
    assert (changed["when"], changed["state"], changed["jitter"], changed["description"]) == (
        "0 * * * *",
        "disabled",
        5,
        "first",
    )
    replaced = send(api, "PUT", path, {**NEW, "overlap": "skip"}).json()
    assert (replaced["when"], replaced["state"], replaced["jitter"], replaced["description"], replaced["overlap"]) == (
        "@every 1m",
        "enabled",
        0,
        "",
        "skip",
    )
    entries = AuditEntry.objects.order_by("id").filter(action="change")
    assert [sorted(entry.detail["changes"]) for entry in entries] == [
        ["enabled", "when", "zone"],
        ["description", "enabled", "jitter", "overlap", "when", "zone"],
    ]
    assert pointers(problem(send(api, "PUT", path, {"name": "x"}), 422, "invalid_body")) == ["/task", "/when"]
    assert pointers(problem(send(api, "PATCH", path, {"task": None}), 422, "invalid_body")) == ["/task"]


def test_a_refused_change_changes_nothing(api: Client) -> None:
    made = create(api)
    problem(send(api, "PATCH", f"{URL}/{made['id']}", {"name": "x", "when": "0 0 30 2 *"}), 422, "invalid_schedule")
    assert api.get(f"{URL}/{made['id']}").json() == made


def test_what_code_owns_is_not_edited_here(api: Client) -> None:
    task = make_schedule()
    companion(task, managed_by="code", editable=False)
    path = f"{URL}/{task.pk}"
    for answer in (
        send(api, "PUT", path, NEW),
        send(api, "PATCH", path, {"enabled": False}),
        api.delete(path),
        post(api, {"enabled": False}, f"/api/admin/scheduled-jobs/{task.pk}/toggle"),
        api.delete(f"/api/admin/scheduled-jobs/{task.pk}"),
    ):
        found = problem(answer, 403, "owned_by_code")
        assert "'minutely' is declared in code" in found["detail"]
    shown = api.get(path).json()
    assert (shown["owner"], shown["editable"], shown["enabled"]) == ("code", False, True)
    assert post(api, {"reason": "tests"}, f"{path}/pause").json()["state"] == "paused"


def test_it_is_deleted_with_its_history_and_not_its_jobs(api: Client) -> None:
    made = create(api)
    job = post(api, {}, f"{URL}/{made['id']}/trigger").json()["job_id"]
    answer = api.delete(f"{URL}/{made['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert (Occurrence.objects.count(), Job.objects.filter(pk=job).count()) == (0, 1)
    problem(api.get(f"{URL}/{made['id']}"), 404, "schedule_not_found")


@pytest.mark.parametrize("id_", [9_999_999, 2**31, 2**63, 10**30])
def test_what_is_not_there_is_not_found(api: Client, id_: int) -> None:
    make_schedule(str(id_))  # its name is no id
    path = f"{URL}/{id_}"
    past = {"start": "2020-01-01T00:00Z", "end": "2020-01-02T00:00Z"}
    for answer in (
        api.get(path),
        api.delete(path),
        send(api, "PATCH", path, {"name": "x"}),
        post(api, {}, f"{path}/trigger"),
        post(api, {}, f"{path}/pause"),
        post(api, {}, f"{path}/resume"),
        post(api, past, f"{path}/backfill"),
        api.get(f"{path}/preview"),
        api.get(f"{path}/occurrences"),
        post(api, {}, f"/api/admin/scheduled-jobs/{id_}/toggle"),
    ):
        problem(answer, 404, "schedule_not_found")


class TestList:
    def test_it_goes_on_where_the_page_before_ended(self, api: Client) -> None:
        ids = [create(api, name=f"s{n}")["id"] for n in range(5)]
        first = api.get(f"{URL}?limit=3").json()
        second = api.get(f"{URL}?limit=3&cursor={first['next_cursor']}").json()
        assert [one["id"] for one in first["schedules"] + second["schedules"]] == ids
        assert (first["total"], second["next_cursor"]) == (5, None)
        assert api.get(f"{URL}?limit=5").json()["next_cursor"] is None

    def test_it_is_narrowed(self, api: Client) -> None:
        create(api)
        create(api, name="off", enabled=False)
        create(api, name="adds", task=ADD, args=[1, 2])

        def names(query: str) -> list[str]:
            found = api.get(f"{URL}?{query}").json()
            assert found["total"] == len(found["schedules"])
            return [one["name"] for one in found["schedules"]]

        assert names("enabled=false") == ["off"]
        assert names(f"task={ADD}") == ["adds"]
        assert names("q=MIN") == ["minutely"]

    @pytest.mark.parametrize(
        ("query", "pointer"),
        [("limit=0", "/limit"), ("limit=1001", "/limit"), ("cursor=x", "/cursor"), ("enabled=2", "/enabled")],
    )
    def test_a_filter_that_is_none_is_refused(self, api: Client, query: str, pointer: str) -> None:
        assert pointers(problem(api.get(f"{URL}?{query}"), 422, "invalid_filter")) == [pointer]

    def test_an_unknown_filter_is_refused(self, api: Client) -> None:
        found = problem(api.get(f"{URL}?limt=3"), 422, "invalid_filter")
        assert "Did you mean 'limit'?" in found["detail"]
        assert pointers(found) == ["/limt"]

    @pytest.mark.parametrize("path", [URL, "/api/admin/scheduled-jobs"])
    def test_it_takes_the_same_number_of_queries_for_one_and_for_many(self, api: Client, path: str) -> None:
        def count(more: int) -> int:
            for number in range(more):
                task = make_schedule(f"{more}-{number}", cron="0 0 * * *" if number % 2 else None, every=number + 1)
                Occurrence.objects.create(
                    schedule_id=task.pk, due_at=clock(), kind="manual", state="fired", job_id=make_job()
                )
            with CaptureQueriesContext(
                connection,
            ) as captured:
                assert api.get(path).status_code == 200
            return len(captured)

        assert count(1) == count(30) == (4 if path == URL else 3)


class TestTrigger:
    def test_it_runs_now_also_when_disabled(self, api: Client) -> None:
        made = create(api, task=ADD, args=[1, 2], enabled=False)
        answer = post(api, {"reason": "to see"}, f"{URL}/{made['id']}/trigger")
        job = Job.objects.get()
        assert answer.status_code == 201
        assert answer.json() == {"job_id": str(job.pk), "status": "pending", "schedule_id": made["id"]}
        assert (job.task, job.args) == (ADD, "[1, 2]")
        entry = AuditEntry.objects.get(action="run")
        assert (entry.actor, entry.ip, entry.detail["reason"]) == ("api token", "127.0.0.1", "to see")
        shown = api.get(f"{URL}/{made['id']}").json()
        assert (shown["last_run"]["job_id"], shown["last_run"]["job_status"], shown["last_run"]["kind"]) == (
            str(job.pk),
            "pending",
            "manual",
        )

    def test_it_needs_no_body(self, api: Client) -> None:
        made = create(api)
        assert api.generic("POST", f"{URL}/{made['id']}/trigger", content_type="").status_code == 201
        assert problem(post(api, {"raeson": ""}, f"{URL}/{made['id']}/trigger"), 422, "invalid_body")

    def test_a_call_that_can_not_be_says_why(self, api: Client) -> None:
        made = create(api)
        PeriodicTask.objects.filter(pk=made["id"]).update(task="gone")
        found = problem(post(api, {}, f"{URL}/{made['id']}/trigger"), 409, "not_run")
        assert "Unknown task 'gone'" in found["detail"]
        assert not Job.objects.exists()


class TestPause:
    def test_it_is_paused_with_a_reason_and_an_end_and_resumed(self, api: Client) -> None:
        made = create(api)
        path, until = f"{URL}/{made['id']}", (clock() + timedelta(hours=1)).replace(microsecond=0).isoformat()
        paused = post(api, {"reason": "SMTP is down", "until": until}, f"{path}/pause").json()
        assert (paused["state"], paused["next_run_at"]) == ("paused", None)
        assert paused["paused"] | {"at": ""} == {
            "at": "",
            "by": "api token",
            "reason": "SMTP is down",
            "until": until.replace("+00:00", "Z"),
        }
        resumed = post(api, {}, f"{path}/resume").json()
        assert (resumed["state"], resumed["paused"]) == ("enabled", None)
        problem(post(api, {}, f"{path}/resume"), 409, "not_paused")
        actions = AuditEntry.objects.order_by("id").values_list("action", "actor", "ip")
        assert list(actions)[1:] == [("pause", "api token", "127.0.0.1"), ("resume", "api token", "127.0.0.1")]

    def test_an_end_that_has_passed_is_refused(self, api: Client) -> None:
        made = create(api)
        answer = post(api, {"until": "2020-01-01T00:00Z"}, f"{URL}/{made['id']}/pause")
        assert "expected a moment to come" in problem(answer, 422, "invalid_pause")["detail"]
        assert api.get(f"{URL}/{made['id']}").json()["state"] == "enabled"


class TestBackfill:
    PAST = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T03:00:00Z"}

    def test_a_dry_run_says_what_would_run(self, api: Client) -> None:
        made = create(api, when="@hourly", timezone="UTC")
        answer = post(api, {**self.PAST, "dry_run": True}, f"{URL}/{made['id']}/backfill").json()
        assert answer == {
            "dry_run": True,
            "due": [f"2026-01-01T0{hour}:00:00Z" for hour in range(4)],
            "existing": [],
            "job_ids": [],
            "more": False,
        }
        assert not Job.objects.exists()

    def test_each_due_time_is_run_once(self, api: Client) -> None:
        made = create(api, when="@hourly", timezone="UTC")
        path = f"{URL}/{made['id']}/backfill"
        first = post(api, {**self.PAST, "cap": 3, "reason": "outage"}, path).json()
        second = post(api, self.PAST, path).json()
        assert (len(first["job_ids"]), len(second["existing"]), len(second["job_ids"])) == (3, 3, 1)
        assert {str(job.pk) for job in Job.objects.all()} == {*first["job_ids"], *second["job_ids"]}
        entry = AuditEntry.objects.filter(action="backfill").order_by("id").first()
        assert (entry.actor, entry.ip, entry.detail["reason"], entry.detail["runs"]) == (
            "api token",
            "127.0.0.1",
            "outage",
            3,
        )

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"start": "2026-01-02T00:00Z"}, "invalid_schedule"),
            ({"end": "2100-01-01T00:00Z"}, "invalid_schedule"),
            ({"start": "2026-01-01T00:00"}, "invalid_body"),
            ({"cap": 0}, "invalid_body"),
        ],
    )
    def test_a_range_that_can_not_be_is_refused(self, api: Client, change: Any, code: str) -> None:
        made = create(api, when="@hourly")
        problem(post(api, {**self.PAST, **change}, f"{URL}/{made['id']}/backfill"), 422, code)
        assert not Job.objects.exists()


class TestPreview:
    def test_a_text_is_shown_in_its_zone_with_what_the_clock_does(self, api: Client) -> None:
        asked = {
            "when": "30 2 * 3,10 *",
            "timezone": "Europe/Berlin",
            "starts_at": "2028-03-25T00:00Z",
            "ends_at": "2028-03-28T00:00Z",
        }
        answer = post(api, asked, f"{URL}/preview").json()
        assert answer == {
            "words": "At 02:30, only in March and October (Europe/Berlin)",
            "timezone": "Europe/Berlin",
            "runs": [
                {"at": "2028-03-25T01:30:00Z", "local": "2028-03-25T02:30:00+01:00", "dst": None},
                {"at": "2028-03-26T01:00:00Z", "local": "2028-03-26T03:00:00+02:00", "dst": "gap"},
                {"at": "2028-03-27T00:30:00Z", "local": "2028-03-27T02:30:00+02:00", "dst": None},
            ],
        }

    def test_a_time_that_comes_twice_is_marked(self, api: Client) -> None:
        asked = {"when": "30 2 29 10 *", "timezone": "Europe/Berlin", "starts_at": "2028-10-01T00:00Z", "count": 1}
        (run,) = post(api, asked, f"{URL}/preview").json()["runs"]
        assert run == {"at": "2028-10-29T00:30:00Z", "local": "2028-10-29T02:30:00+02:00", "dst": "overlap"}

    def test_a_saved_one_is_shown_too(self, api: Client) -> None:
        made = create(api, when="@hourly", timezone="Asia/Tokyo")
        answer = api.get(f"{URL}/{made['id']}/preview?count=3").json()
        assert (answer["timezone"], len(answer["runs"])) == ("Asia/Tokyo", 3)
        assert answer["runs"][0]["at"] == made["next_run_at"]
        problem(api.get(f"{URL}/{made['id']}/preview?count=0"), 422, "invalid_filter")

    @pytest.mark.parametrize(
        ("asked", "pointer"),
        [
            ({"when": "x"}, "/when"),
            ({"when": "0 0 30 2 *"}, "/when"),
            ({"when": "@daily", "timezone": "X"}, "/timezone"),
        ],
    )
    def test_what_can_not_be_is_pointed_at(self, api: Client, asked: Any, pointer: str) -> None:
        assert pointers(problem(post(api, asked, f"{URL}/preview"), 422, "invalid_schedule")) == [pointer]

    def test_nothing_is_written(self, api: Client) -> None:
        post(api, {"when": "1 2 3 4 *"}, f"{URL}/preview")
        assert not PeriodicTask.objects.exists()


class TestOccurrences:
    def test_they_go_on_where_the_page_before_ended(self, api: Client) -> None:
        task, now, job = make_schedule(), clock().replace(microsecond=0), make_job(state="completed")
        for minute in range(5):
            due = now - timedelta(minutes=5 - minute)
            state = "fired" if minute % 2 else "skipped"
            Occurrence.objects.create(
                schedule_id=task.pk, due_at=due, kind="schedule", state=state, job_id=job if minute == 3 else None
            )
        path = f"{URL}/{task.pk}/occurrences"
        pages = [api.get(f"{path}?limit=3").json()]
        pages.append(api.get(f"{path}?limit=3&cursor={pages[0]['next_cursor']}").json())
        found = pages[0]["occurrences"] + pages[1]["occurrences"]
        assert [moment(one["due_at"]) for one in found] == [now - timedelta(minutes=n) for n in range(1, 6)]
        assert pages[1]["next_cursor"] is None
        assert [one["job_status"] for one in found] == [None, "completed", None, None, None]
        fired = api.get(f"{path}?state=fired").json()["occurrences"]
        assert [one["state"] for one in fired] == ["fired", "fired"]
        assert pointers(problem(api.get(f"{path}?state=gone"), 422, "invalid_filter")) == ["/state"]


@pytest.mark.django_db(transaction=True)
def test_an_edit_acts_at_the_beats_next_look(api: Client) -> None:
    made = create(api, when="@yearly")
    task = PeriodicTask.objects.get(pk=made["id"])
    tick()
    assert companion(task).next_run_at == moment(made["next_run_at"])
    send(api, "PATCH", f"{URL}/{made['id']}", {"when": "@every 2s"})
    tick()
    assert companion(task).next_run_at - companion(task).edited_at <= timedelta(seconds=2)
    make_due(task)
    tick()
    assert [one.state for one in history(task)] == ["fired"]
    send(api, "PATCH", f"{URL}/{made['id']}", {"enabled": False})
    make_due(task)
    tick()
    assert len(history(task)) == 1
