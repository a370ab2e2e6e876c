"""Pages of any search are, one behind the other, exactly what matches: in order, each job once, by whichever way."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.models import Job
from jobs.search import Found, live, search, sources, ways
from jobs.search.fields import wanted
from jobs.search.keys import ORDER
from jobs.search.terms import parse
from jobs.states import LEASED, State
from tests.support.rows import make_job

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unhurried")]

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
CALLS = [NOW - timedelta(hours=hours) for hours in (1, 1, 1, 2, 30)]
"""Many are created at one moment, as by one bulk call."""
rows = st.fixed_dictionaries(
    {
        "state": st.sampled_from(list(State)),
        "task": st.sampled_from(["mail.send", "mail.sort", "shop.bill"]),
        "queue": st.sampled_from(["mail", "default", "rare"]),
        "created_at": st.sampled_from(CALLS),
        "tags": st.sampled_from([None, {"x": "1"}, {"x": "2", "shop": "a=b"}]),
        "reference_type": st.just("shop.order"),
        "reference_id": st.sampled_from(["7", "8"]),
        "kwargs": st.sampled_from([{}, {"user_id": 42}, {"user_id": "42"}, {"user_id": 4}]),
        "worker": st.sampled_from([None, "w1@host"]),
        "id": st.uuids(),
    }
)
QUERIES = [
    *("", "status:failed", "status:pending", "status:active", "status:finished", "state:completed", "-state:completed"),
    *("queue:mail", "queue:rare,mail", "queue:ra*", "task:mail.send", "task:mail.*", "task:mail.send queue:mail"),
    *(
        "tag:x",
        "tag:x=1",
        "-tag:x",
        "tag:x=1 -tag:x=2",
        "reference:shop.order:7",
        "args.user_id:42",
        "-args.user_id:42",
    ),
    *(
        "worker:w1@host",
        "-worker:w1@host",
        "created:>-3h",
        "created:<-3h",
        "created:2026-01-31",
        "created:>-90m queue:mail",
    ),
    *("status:failed queue:mail args.user_id:42 created:>-24h -tag:x", "status:finished task:mail.* -queue:rare"),
    *("state:completed,dead_letter queue:mail", "created:<-90m status:failed", "reference:shop.order:8 tag:x=2"),
]
slow = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every bound is met by a handful of jobs, so that each way of looking is taken."""
    for module, name, value in (
        *((ways, "GLANCE", 2), (ways, "LOOK", 5), (ways, "COUNTED", 6), (sources, "COUNTED", 6), (sources, "SOME", 3)),
        *((sources, "RARE", 4), (live, "MOST", 6)),
    ):
        monkeypatch.setattr(module, name, value)
    for module in (ways, sources):
        monkeypatch.setattr(module, "max", min, raising=False)


def pages(query: str, limit: int, between: Any = lambda: None) -> Iterator[Found]:
    cursor: str | None = None
    for _ in range(200):
        page = search(parse(query), now=NOW, limit=limit, cursor=cursor)
        yield page
        if (cursor := page.next_cursor) is None:
            return
        between()
    raise AssertionError("the pages do not end")


def everything(query: str) -> list[UUID]:
    return list(wanted(parse(query), now=NOW).jobs().order_by(*ORDER).values_list("pk", flat=True))


def insert(jobs: list[dict[str, Any]]) -> None:
    for job in {job["id"]: job for job in jobs}.values():
        make_job(**job)
    leased = list(Job.objects.filter(state__in=LEASED).values_list("pk", flat=True))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO jobs_lease (token, queue, routing_key, job_ids, payload, sent_at)"
            " VALUES (gen_random_uuid(), '', '', %s, '', now())",
            [leased],
        )


@slow
@given(st.lists(rows, max_size=30), st.sampled_from(QUERIES), st.integers(1, 7))
def test_pages_hold_each_job_that_matches_once_and_in_order(
    narrow: None, jobs: list[dict[str, Any]], query: str, limit: int
) -> None:
    with transaction.atomic():
        insert(jobs)
        all_of_them = everything(query)
        found = list(pages(query, limit))
        assert [job.pk for page in found for job in page.jobs] == all_of_them
        assert [page.page for page in found] == list(range(1, len(found) + 1))
        assert all(len(page.jobs) <= limit for page in found)
        if found[0].total_exact:
            assert found[0].total == len(all_of_them)
        else:
            assert found[0].total >= len(found[0].jobs)
        transaction.set_rollback(True)


@slow
@given(st.lists(rows, max_size=20), st.lists(rows, max_size=4), st.sampled_from(QUERIES), st.integers(1, 5))
def test_what_is_created_meanwhile_moves_nothing_on_the_pages_behind(
    narrow: None, jobs: list[dict[str, Any]], later: list[dict[str, Any]], query: str, limit: int
) -> None:
    def between() -> None:
        for job in later:
            make_job(**{**job, "id": UUID(int=job["id"].int ^ Job.objects.count()), "created_at": NOW})

    with transaction.atomic():
        insert(jobs)
        all_of_them = everything(query)
        assert [job.pk for page in pages(query, limit, between) for job in page.jobs] == all_of_them
        transaction.set_rollback(True)


@slow
@given(st.lists(rows, max_size=30), st.sampled_from(QUERIES), st.integers(1, 7), st.integers(0, 20))
def test_an_offset_passes_over_so_many(jobs: list[dict[str, Any]], query: str, limit: int, offset: int) -> None:
    with transaction.atomic():
        insert(jobs)
        all_of_them = everything(query)
        page = search(parse(query), now=NOW, limit=limit, offset=offset)
        assert [job.pk for job in page.jobs] == all_of_them[offset : offset + limit]
        assert (page.total, page.total_exact) == (len(all_of_them), True)
        transaction.set_rollback(True)
