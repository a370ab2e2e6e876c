"""The quick way to record jobs that completed does what the general one does, under the same guards."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from jobs.engine.finish import columns_of, finish
from jobs.engine.link import Link
from jobs.engine.sql import statement
from jobs.models import Attempt, Job
from jobs.policy import Outcome
from jobs.states import End, State
from tests.support.breaking import Twin, must_fail
from tests.support.engine import NODE, leases, new_job, row, won
from tests.support.rows import make_job

NOW = datetime(2026, 3, 1, 12, 0, 0, 123457, tzinfo=UTC)
LATER = NOW + timedelta(days=36_500)


@pytest.fixture(autouse=True)
def _statements_as_they_are() -> Iterator[None]:
    yield
    statement.cache_clear()


@pytest.mark.parametrize("result", [None, '"ü"', '{"a": [1, "}"]}'])
@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"unique_key": "held", "unique_until": LATER},
        {"unique_key": "freed"},
        {"error": "of the attempt before", "result": "1", "attempt": 2, "retries": 1},
        {"cancel_requested_at": NOW},
    ],
    ids=["bare", "key held", "key freed", "after a retry", "cancel wished"],
)
def test_the_row_and_its_attempt_are_the_same(link: Link, columns: dict[str, Any], result: str | None) -> None:
    quick, general = (recorded(link, record, columns, result) for record in (finish, by_the_general_statement))
    assert quick == general


def recorded(link: Link, record: Callable[..., set[UUID]], columns: dict, result: str | None) -> tuple[dict, dict]:
    times = dict.fromkeys(("ready_at", "created_at"), NOW)
    key = {"unique_key": f"{columns['unique_key']} by {record.__name__}"} if "unique_key" in columns else {}
    token = uuid4()
    job = make_job(state="running", lease=token, **{**times, **columns, **key})
    assert record(link, [plain(job, result)], token=token, node=NODE, done=True) == {job}
    found = Job.objects.values().get(pk=job)
    attempt = Attempt.objects.values().get(job_id=job)
    found["unique_key"] = found["unique_key"] is not None
    del found["id"], found["updated_at"], attempt["job_id"]
    return found, attempt


def by_the_general_statement(link: Link, batch: list[Outcome], **shared: Any) -> set[UUID]:
    return {id_ for id_, _, _ in link.rows("finish", **columns_of(batch, **shared))}


def plain(job: UUID, result: str | None = None) -> Outcome:
    return Outcome(job, State.COMPLETED, End.COMPLETED, NOW, NOW + timedelta(microseconds=1), result=result)


def test_of_many_those_that_are_stale_are_told(link: Link) -> None:
    mine, others = [new_job() for _ in range(3)], new_job()
    token = won(link, mine)
    won(link, [others])
    moved = finish(link, [plain(job) for job in [*mine, others]], token=token, node=NODE, done=True)
    assert moved == set(mine)
    assert row(others).state == "running"
    assert Attempt.objects.filter(job_id=others).count() == 0


def a_partial_flush_keeps_the_lease(link: Link) -> None:
    jobs = [new_job(), new_job()]
    token = won(link, jobs)
    finish(link, [plain(jobs[0])], token=token, node=NODE, done=False)
    assert leases() == [token]


def a_stale_outcome_changes_nothing(link: Link) -> None:
    job = new_job()
    won(link, [job])
    assert finish(link, [plain(job)], token=uuid4(), node=NODE, done=True) == set()
    assert row(job).state == "running"


@pytest.mark.parametrize(
    ("scenario", "guard", "without"),
    [
        (a_partial_flush_keeps_the_lease, " AND %(done)s", ""),
        (a_stale_outcome_changes_nothing, " AND job.lease = %(token)s", ""),
    ],
)
def test_each_guard_is_needed(
    link: Link, scenario: Callable, guard: str, without: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scenario(link)
    Twin("finish_plain", guard, without).apply(monkeypatch, tmp_path)
    must_fail(scenario, link)
