"""GET /api/jobs: the shape that the contract prints, its filters, and what it refuses."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import connection, transaction
from django.test import Client

from jobs.engine.link import Link
from jobs.models import Job
from jobs.search import given, live, ways
from jobs.search.fields import FIELDS
from jobs.search.patience import FREELY, patience
from jobs.states import FINAL, LIVE, State
from tests.support.api import problem
from tests.support.rows import hold, make_job, make_worker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unhurried")]


def found(api: Client, **query: Any) -> dict[str, Any]:
    answer = api.get("/api/jobs", query)
    assert answer.status_code == 200, answer.content
    return answer.json()


def ids(api: Client, **query: Any) -> set[str]:
    return {job["id"] for job in found(api, **query)["jobs"]}


# --- shape ---


def test_the_printed_request_gets_the_printed_answer(api: Client) -> None:
    failed = [make_job(state=state, error="no") for state in ("failed", "dead_letter")]
    make_job(state="completed")
    answer = api.get("/api/jobs?status=failed&limit=50")
    assert answer["Content-Type"].startswith("application/json")
    body = answer.json()
    assert {job["job_id"] for job in body["jobs"]} == {str(id_) for id_ in failed}
    assert (body["total"], body["page"], body["total_exact"], body["next_cursor"]) == (2, 1, True, None)
    assert body.keys() == {"jobs", "total", "total_exact", "page", "next_cursor"}


def test_a_listed_job_is_what_the_job_itself_says_but_for_what_may_be_large(api: Client) -> None:
    id_ = make_job(
        state="dead_letter", name="n", tags={"a": "b"}, reference_type="shop.order", reference_id="7", error="x" * 1500
    )
    (listed,) = found(api)["jobs"]
    whole = api.get(f"/api/jobs/{id_}").json()
    assert listed == {name: whole[name] for name in listed} | {"error": "x" * 1000}
    assert whole.keys() - listed.keys() == {"args", "kwargs", "result", "timeout"}


def test_a_reference_that_code_gave_is_shown_at_any_length(api: Client) -> None:
    id_ = make_job(reference_type="shop.order", reference_id="7" * 500)
    reference = {"type": "shop.order", "id": "7" * 500}
    assert found(api)["jobs"][0]["reference"] == api.get(f"/api/jobs/{id_}").json()["reference"] == reference


def test_nothing_is_an_empty_list(api: Client) -> None:
    assert found(api) == {"jobs": [], "total": 0, "total_exact": True, "page": 1, "next_cursor": None}


def test_the_newest_comes_first_and_ids_decide_among_equals(api: Client) -> None:
    now = datetime.now(UTC)
    twins = sorted(str(make_job(created_at=now)) for _ in range(5))
    old = str(make_job(created_at=now - timedelta(days=1)))
    assert [job["id"] for job in found(api)["jobs"]] == [*reversed(twins), old]


def test_pages_are_reached_by_number_by_offset_and_by_cursor(api: Client) -> None:
    now = datetime.now(UTC)
    all_of_them = [str(make_job(created_at=now - timedelta(seconds=n))) for n in range(5)]
    first = found(api, limit=2)
    for query in ({"page": 2}, {"offset": 2}, {"cursor": first["next_cursor"]}):
        page = found(api, limit=2, **query)
        assert [job["id"] for job in page["jobs"]] == all_of_them[2:4]
        assert (page["page"], page["total"]) == (2, 5)
    last = found(api, limit=2, cursor=page["next_cursor"])
    assert ([job["id"] for job in last["jobs"]], last["page"], last["next_cursor"]) == (all_of_them[4:], 3, None)


def test_a_list_needs_the_token() -> None:
    problem(Client().get("/api/jobs"), 401, "unauthorized")


def test_a_job_is_still_created_at_the_same_path(api: Client) -> None:
    assert api.post("/api/jobs", "{}", content_type="application/json").status_code == 422


# --- filters ---


@pytest.mark.parametrize(
    ("status", "states"),
    [
        ("pending", {"blocked", "scheduled", "pending", "paused", "dispatched"}),
        ("running", {"running"}),
        ("retrying", {"retrying"}),
        ("completed", {"completed"}),
        ("failed", {"failed", "dead_letter"}),
        ("dead_letter", {"dead_letter"}),
        ("cancelled", {"cancelled", "expired"}),
        ("active", set(LIVE)),
        ("finished", set(FINAL)),
        *((str(state), {str(state)}) for state in ("blocked", "scheduled", "paused", "dispatched", "expired")),
    ],
)
def test_status_takes_the_words_of_the_contract_the_states_and_groups(
    api: Client, status: str, states: set[str]
) -> None:
    made = {str(make_job(state=state)): str(state) for state in State}
    hold(make_worker(), [job.pk for job in Job.objects.filter(state__in=["dispatched", "running"])])
    assert {made[id_] for id_ in ids(api, status=status)} == states
    assert {made[id_] for id_ in ids(api, q=f"status:{status}")} == states


@pytest.mark.parametrize("state", State)
def test_state_takes_one_state_exactly(api: Client, state: State) -> None:
    made = {str(make_job(state=each)): each for each in State}
    assert {made[id_] for id_ in ids(api, state=state)} == {state}
    assert {made[id_] for id_ in ids(api, q=f"-state:{state}")} == set(State) - {state}


def test_every_word_that_an_answer_has_as_status_finds_that_job(api: Client) -> None:
    for state in State:
        id_ = str(make_job(state=state))
        assert id_ in ids(api, status=api.get(f"/api/jobs/{id_}").json()["status"])


HOUR_AGO = datetime.now(UTC) - timedelta(hours=1)
MATCHES = {
    "task": ({"task": "mail.send"}, "mail.send", 'task:"mail.send"'),
    "queue": ({"queue": "a b"}, "a b", 'queue:"a b"'),
    "worker": ({"worker": "w1@host"}, "w1@host", "worker:w1@*"),
    "tag": ({"tags": {"shop": "a=b", "x": ""}}, "shop=a=b", 'tag.shop:"a=b"'),
    "reference": (
        {"reference_type": "shop.order", "reference_id": "a:7"},
        "shop.order:a:7",
        "reference:shop.order:a:7",
    ),
    "created_before": ({"created_at": HOUR_AGO}, "-30m", "created:<-30m"),
}


@pytest.mark.parametrize("name", MATCHES)
def test_each_filter_finds_what_it_names_and_the_query_language_does_too(api: Client, name: str) -> None:
    columns, value, query = MATCHES[name]
    made = {str(make_job(**columns)), str(make_job(state="completed", **columns))}
    make_job(), make_job(state="completed", tags={"shop": "a"})
    assert ids(api, **{name: value}) == made
    assert ids(api, q=query) == made


@pytest.mark.parametrize(
    ("query", "columns"),
    [
        ("args.user_id:42", {"kwargs": {"user_id": 42}}),
        ("args.user_id:42", {"kwargs": {"user_id": "42"}}),
        ("kwargs.user.name:é", {"kwargs": {"user": {"name": "é"}}}),
        ("args.0:7", {"args": [7]}),
        ("args.paid:true", {"kwargs": {"paid": True}}),
        ("args.note:null", {"kwargs": {"note": None}}),
        ("args.amount:10.00", {"kwargs": {"amount": Decimal("10.00")}}),
        ("args.key:0f0c0d5a-2f53-5c3e-9c53-9a6a6a0a7b10", {
            "kwargs": {"key": UUID("0f0c0d5a-2f53-5c3e-9c53-9a6a6a0a7b10")}}),
        ("tag:shop", {"tags": {"shop": "x"}}),
        ("priority:high", {"priority": 20}),
        ("priority:>15", {"priority": 20}),
        ("priority:15..25", {"priority": 20}),
        ("attempt:3,4", {"attempt": 4}),
        ("error:timed", {"state": "failed", "error": "100% timed_out"}),
        ('error:"100% timed_"', {"state": "failed", "error": "100% timed_out"}),
        ("name:Rep*", {"name": "Report"}),
        ("by:ada", {"created_by": "ada"}),
        ("key:k1", {"unique_key": "k1"}),
        ("created:2025-01-31", {"created_at": datetime(2025, 1, 31, 23, 59, tzinfo=UTC)}),
        ("created:2025-01-31..2025-02-01", {"created_at": datetime(2025, 2, 1, 23, 59, tzinfo=UTC)}),
        ("created:<=2025-01-31T12:00Z", {"created_at": datetime(2025, 1, 31, 12, tzinfo=UTC)}),
        ("finished:<2025-02-01", {"state": "completed", "finished_at": datetime(2025, 1, 31, 12, tzinfo=UTC)}),
        ("run_at:>2h", {"state": "scheduled", "run_at": datetime.now(UTC) + timedelta(hours=3)}),
        ("took:>30s", {
            "state": "completed", "started_at": HOUR_AGO, "finished_at": HOUR_AGO + timedelta(seconds=31)}),
    ],
)  # fmt: skip
def test_the_query_language_finds_what_no_filter_names(api: Client, query: str, columns: dict[str, Any]) -> None:
    other = str(make_job(state="completed", error="timed", task="other"))
    id_ = str(make_job(**columns))
    if query == "error:timed":
        assert ids(api, q=query) == {id_, other}
        return
    assert ids(api, q=query) == {id_}
    assert ids(api, q=f"-{query}") == {other}


def test_the_example_of_the_contract_finds_one_of_many(api: Client) -> None:
    wanted = {"state": "failed", "queue": "mail", "kwargs": {"user_id": 42}}
    id_ = str(make_job(**wanted))
    for change in (
        {"state": "completed"},
        {"queue": "default"},
        {"kwargs": {"user_id": 43}},
        {"created_at": datetime.now(UTC) - timedelta(hours=25)},
        {"tags": {"x": "1"}},
    ):
        make_job(**{**wanted, **change})
    assert ids(api, q="state:failed queue:mail args.user_id:42 created:>-24h -tag:x") == {id_}


def test_a_pasted_id_finds_its_job_in_any_state(api: Client) -> None:
    id_ = make_job(state="completed")
    make_job()
    assert ids(api, q=str(id_)) == ids(api, q=f"id:{id_}") == {str(id_)}
    assert ids(api, q=str(uuid4())) == set()


def test_a_filter_given_twice_means_either_but_tags_must_all_be_there(api: Client) -> None:
    one, other = (str(make_job(task=task, tags={"a": "1", task: "2"})) for task in ("x", "y"))
    assert ids(api, task=["x", "y"]) == {one, other}
    assert ids(api, tag=["a", "x=2"]) == {one}


# --- refusals ---


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("stauts=failed", "Did you mean 'status'?"),
        ("sort=name", "Known: created_after"),
        ("status=faild", "Did you mean 'failed'?"),
        ("status=", "Expected a value"),
        ("state=active", "There is no state 'active'"),
        ("q=quue:mail", "Did you mean 'queue'?"),
        ("q=mail", "At character 1, 'mail': expected field:value"),
        ('q=task:a+name:"b', "this quote is not closed"),
        ("q=task:%3Ea", "task has no >"),
        ("q=tag:a*", "tag takes no *"),
        ("q=task.x:a", "task has nothing below it"),
        ("q=args:42", "expected the name of an argument"),
        ("q=created:yesterday", "'yesterday' is no moment"),
        ("q=took:>5", "'5' is no span"),
        ("q=priority:urgent", "'urgent' is no whole number"),
        ("q=priority:99999999999", "is no whole number"),
        ("created_after=soon", "'soon' is no moment"),
        ("created_after=-1h&created_after=-2h", "Give it once"),
        ("reference=7", "'7' is no type:id"),
        ("tag=%3Dx", "expected key, or key=value"),
        ("task=%00", "NUL, or half a surrogate pair"),
        ("q=task:%00", "NUL, or half a surrogate pair"),
        ("q=args.%00:1", "NUL, or half a surrogate pair"),
        ("limit=0", "greater than or equal to 1"),
        ("limit=1001", "less than or equal to 1000"),
        ("limit=x", "valid integer"),
        ("offset=-1", "greater than or equal to 0"),
        ("offset=10001", "less than or equal to 10000"),
        ("page=1001", "next_cursor"),
        ("offset=1&page=2", "Give one of offset, page, cursor"),
        ("cursor=x", "is no cursor"),
        (f"q={'a:b ' * 31}", "31 terms"),
        (f"q={'a' * 2001}", "2,001 characters"),
        ("q=task:" + ",".join("a" * 101), "at most 100 values"),
    ],
)
def test_what_is_not_known_is_refused_with_what_would_do(api: Client, query: str, says: str) -> None:
    body = problem(api.get(f"/api/jobs?{query}"), 422, "invalid_filter")
    assert says in body["detail"]
    assert body["errors"][0]["pointer"].startswith("/")


def test_a_refusal_names_the_parameter_and_all_that_is_allowed(api: Client) -> None:
    body = problem(api.get("/api/jobs?q=nothing:1"), 422, "invalid_filter")
    assert body["errors"][0]["pointer"] == "/q"
    assert all(name in body["detail"] for name in FIELDS)
    body = problem(api.get("/api/jobs?nothing=1"), 422, "invalid_filter")
    assert body["errors"][0]["pointer"] == "/nothing"
    assert all(name in body["detail"] for name in (*given.FILTERS, "q", "limit", "offset", "page", "cursor"))


def test_a_cursor_of_another_search_is_refused(api: Client) -> None:
    for _ in range(2):
        make_job(queue="mail")
    cursor = found(api, queue="mail", limit=1)["next_cursor"]
    body = problem(api.get("/api/jobs", {"queue": "other", "cursor": cursor}), 422, "invalid_filter")
    assert "of another search" in body["detail"]


@pytest.mark.django_db(transaction=True)
def test_a_search_that_takes_too_long_is_ended_and_says_how_to_narrow_it(
    api: Client, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_job()
    with link.transaction(), monkeypatch.context() as hasty:
        hasty.setattr(ways, "LONG", 0.05)
        link._open().execute("LOCK TABLE jobs_job")
        body = problem(api.get("/api/jobs"), 503, "search_too_slow")
    assert "Narrow it by state" in body["detail"]
    assert found(api)["total"] == 1


def test_a_first_page_that_shows_all_there_is_has_no_next_one(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where only the newest jobs were looked through: the exact total says that nothing lies further back."""
    for module, name, value in ((ways, "GLANCE", 1), (ways, "LOOK", 1), (live, "MOST", 1), (ways, "max", min)):
        monkeypatch.setattr(module, name, value, raising=False)
    for age in range(5):
        make_job(created_at=datetime.now(UTC) - timedelta(hours=age))
    newest = str(make_job(worker="w1"))
    page = found(api, worker="w1")
    assert ([job["id"] for job in page["jobs"]], page["total"], page["next_cursor"]) == ([newest], 1, None)
    assert found(api)["next_cursor"]


@pytest.mark.django_db(transaction=True)
def test_a_job_that_changes_while_it_is_looked_for_is_found_as_it_was(
    api: Client, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Live jobs are read before finished ones: one that is requeued between the two would be in neither."""
    monkeypatch.setattr(ways, "GLANCE", 1)
    id_ = make_job(state="failed", queue="mail", created_at=HOUR_AGO)
    for _ in range(210):
        make_job(queue="other")

    def requeued(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "AS lane (task, queue)" in sql:
            link._open().execute("UPDATE jobs_job SET state = 'pending', finished_at = NULL WHERE id = %s", [id_])
        return execute(sql, params, many, context)

    with connection.execute_wrapper(requeued):
        assert ids(api, queue="mail") == {str(id_)}
    assert Job.objects.get(pk=id_).state == "pending"


@pytest.mark.parametrize("fails", [False, True])
def test_the_callers_own_settings_hold_again_after_a_search(fails: bool) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '7s'")
        try:
            with patience(1.5, FREELY):
                assert _setting(cursor, "statement_timeout") == "1500ms"
                if fails:
                    raise LookupError
        except LookupError:
            pass
        assert (_setting(cursor, "statement_timeout"), _setting(cursor, "jit")) == ("7s", "on")


def _setting(cursor: psycopg.Cursor, name: str) -> str:
    cursor.execute(f"SHOW {name}")
    return cursor.fetchone()[0]


# --- bad input that is no mistake ---


EVIL = [
    "'; DROP TABLE jobs_job; --",
    "' OR '1'='1",
    '" OR ""="',
    "1; SELECT pg_sleep(10)",
    "') UNION SELECT usename, passwd FROM pg_shadow --",
    "\\'; DELETE FROM jobs_job; --",
    "%' AND 1=1 --",
    "%s %(x)s %% {0} $1",
    "::text[]",
    "$$;DROP TABLE jobs_job;$$",
    "a\tb\nc\r",
    "/* */ OR TRUE",
    "\\x27; DROP TABLE jobs_job",
    "{x,y}",
    "_%",
    "𝒳'‘’ʼ",
    "\u202e'; DROP",
    "null",
    "a" * 500,
]


@pytest.mark.parametrize("text", EVIL)
def test_sql_in_a_value_is_a_value(api: Client, text: str) -> None:
    columns = {
        **{"task": text, "queue": text, "worker": text, "name": text, "created_by": text, "unique_key": text},
        **{"tags": {text: text}, "reference_type": "t", "reference_id": text, "error": text, "kwargs": {"a": text}},
    }
    mine, other = str(make_job(state="failed", **columns)), str(make_job(state="failed", error="fine"))
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    for name in ("task", "queue", "worker"):
        assert ids(api, **{name: text}) == {mine}
    for query in ("task:", "queue:", "worker:", "name:", "by:", "key:", "error:", "args.a:"):
        assert ids(api, q=query + quoted) == {mine}
        assert ids(api, q=f"-{query}{quoted}") == {other}
    for query in ("task:", "queue:", "worker:", "name:", "by:", "key:"):
        assert ids(api, q=f"{query}{quoted}*") == {mine}
    assert ids(api, q=f'reference:"t:{quoted[1:]}') == ids(api, reference=f"t:{text}") == {mine}
    if "=" not in text:
        assert ids(api, tag=text) == ids(api, tag=f"{text}={text}") == {mine}
        assert ids(api, q=f"-tag:{quoted}") == {other}


@pytest.mark.parametrize("name", [*given.FILTERS, "q", "limit", "offset", "page", "cursor", "sort"])
def test_sql_in_any_parameter_is_refused_or_finds_nothing(api: Client, name: str) -> None:
    make_job()
    for text in EVIL:
        answer = api.get("/api/jobs", {name: text})
        assert answer.status_code == 422 or answer.json()["total"] == 0, (name, text, answer.content)
    assert Job.objects.count() == 1


@pytest.mark.parametrize("field", FIELDS)
def test_sql_anywhere_in_a_query_does_nothing(api: Client, field: str) -> None:
    make_job()
    for text in EVIL:
        for form in (f"{field}:{text}", f"{field}.{text}:x", f'{field}:>"{text}"', f"{field}:{text}..{text}"):
            assert api.get("/api/jobs", {"q": form}).status_code in (200, 422), form
    assert Job.objects.count() == 1
