"""The blocking monitor on a real PostgreSQL: counting, judging, forgetting, and what feeds leave."""

import json
import logging
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client

from jobs.errors import InvalidFetch
from jobs.models import DomainHour
from jobs.tasks.blocking import check as check_task
from jobs.tasks.blocking import cleanup as cleanup_task
from jobs.tasks.blocking import record_fetch, store
from jobs.tasks.blocking.check import check_domains
from jobs.tasks.blocking.cleanup import BATCH, forget_old
from jobs.tasks.blocking.conf import BlockingSettings
from jobs.tasks.feeds import FeedError
from tests.support import feed_server as behave
from tests.support.feed_reading import read, silent
from tests.support.feed_samples import RSS2

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 3, 1, 10, 30, tzinfo=UTC)
HOUR = datetime(2026, 3, 1, 10, tzinfo=UTC)


def counts(**wanted: object) -> tuple[int, int, int, int | None]:
    row = DomainHour.objects.get(**wanted)
    return row.succeeded, row.blocked, row.failed, row.last_status


def fetched(domain: str, succeeded: int = 0, blocked: int = 0, failed: int = 0, *, hour: datetime = HOUR) -> None:
    DomainHour.objects.create(domain=domain, hour=hour, succeeded=succeeded, blocked=blocked, failed=failed)


def checked(**settings: object) -> dict:
    return check_domains(BlockingSettings(**settings), now=NOW, progress=silent)


# --- counting ---


def test_fetches_of_a_domain_in_an_hour_are_counted_in_one_row() -> None:
    for outcome, status in [("succeeded", 200), ("blocked", 403), ("blocked", 429), ("failed", 500)]:
        record_fetch("a.example", outcome, status, now=NOW)
    assert counts() == (1, 2, 1, 500)


@pytest.mark.parametrize(("then", "last"), [(("succeeded", 200), 403), (("failed", None), None)])
def test_the_last_status_is_that_of_the_latest_fetch_that_did_not_succeed(then, last) -> None:
    record_fetch("a.example", "blocked", 403, now=NOW)
    record_fetch("a.example", *then, now=NOW)
    assert counts()[3] == last


def test_hours_and_domains_have_rows_of_their_own() -> None:
    moments = (HOUR, HOUR + timedelta(minutes=59, seconds=59), HOUR + timedelta(hours=1), HOUR - timedelta(seconds=1))
    for now in moments:
        record_fetch("a.example", "succeeded", now=now)
    record_fetch("b.example", "succeeded", now=HOUR)
    rows = DomainHour.objects.order_by("domain", "hour").values_list("domain", "hour", "succeeded")
    one = timedelta(hours=1)
    assert list(rows) == [
        ("a.example", HOUR - one, 1),
        ("a.example", HOUR, 2),
        ("a.example", HOUR + one, 1),
        ("b.example", HOUR, 1),
    ]


@pytest.mark.parametrize("written", ["Bücher.Example", "BÜCHER.example.", "xn--bcher-kva.example"])
def test_one_domain_is_counted_once_however_it_is_written(written: str) -> None:
    record_fetch(written, "succeeded", now=NOW)
    assert counts(domain="xn--bcher-kva.example")[0] == 1


@pytest.mark.parametrize(
    "domain",
    ["", " ", ".", "a b", "a/b", "http://a.example/", "a.example:80", "u@a", "a\nb", "x" * 254, "\udcff", None, 7],
)
def test_what_is_no_domain_is_refused(domain: object) -> None:
    with pytest.raises(InvalidFetch, match=r"domain=.*: pass the host of a URL, as example\.com, without scheme"):
        record_fetch(domain, "succeeded")
    assert not DomainHour.objects.exists()


def test_an_outcome_or_a_status_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidFetch, match="outcome='ok': pass one of 'succeeded', 'blocked', 'failed'"):
        record_fetch("a.example", "ok")
    for status in (0, 99, 1000, "403", True):
        with pytest.raises(InvalidFetch, match=r"status=.*: pass the HTTP status"):
            record_fetch("a.example", "blocked", status)


def test_in_a_transaction_a_fetch_is_counted_after_the_commit_and_locks_nothing_before() -> None:
    with transaction.atomic():
        record_fetch("a.example", "succeeded", now=NOW)
        assert not DomainHour.objects.exists()
    assert counts()[0] == 1


def test_a_fetch_is_no_worse_for_a_count_that_could_not_be_written(caplog: pytest.LogCaptureFixture) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE jobs_domainhour RENAME TO away")
    try:
        record_fetch("a.example", "succeeded")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE away RENAME TO jobs_domainhour")
    assert "jobs_domainhour" in caplog.text


# --- judging ---


def test_a_check_names_the_domains_below_the_threshold_the_worst_first(caplog: pytest.LogCaptureFixture) -> None:
    fetched("good.example", succeeded=8, failed=2)
    fetched("dead.example", failed=5)
    fetched("shy.example", succeeded=5, blocked=5)
    fetched("rare.example", blocked=4)
    record_fetch("shy.example", "blocked", 429, now=NOW)
    with caplog.at_level(logging.WARNING, "jobs"):
        said = checked()
    assert (said["domains"], said["fetches"], said["below"]) == (4, 30, 2)
    assert [row["domain"] for row in said["worst"]] == ["dead.example", "shy.example"]
    assert said["worst"][1] == {
        "domain": "shy.example",
        "success": 0.4545,
        "fetches": 11,
        "succeeded": 5,
        "blocked": 6,
        "failed": 0,
        "last_status": 429,
        "advice": "it refuses this client: fetch it less often, ask its owner for access, or disable its schedules",
    }
    assert json.loads(json.dumps(said)) == said
    [warning] = [record.getMessage() for record in caplog.records]
    assert warning.startswith(
        "fetches of 2 domains succeed too rarely, below 80 % since 2026-02-28T10:00:00+00:00: dead"
    )
    assert "shy.example 45%: it refuses this client: fetch it less often" in warning


def test_the_window_has_its_first_and_its_last_hour_and_no_other() -> None:
    for hours, domain in ((-25, "before"), (-24, "first"), (0, "last"), (1, "after")):
        fetched(domain, failed=5, hour=HOUR + timedelta(hours=hours))
    assert sorted(row["domain"] for row in checked()["worst"]) == ["first", "last"]


def test_the_hours_of_a_domain_are_judged_together() -> None:
    for hours, status in ((0, None), (-1, 403), (-2, 429)):
        fetched("a.example", succeeded=1, blocked=1, hour=HOUR + timedelta(hours=hours))
        DomainHour.objects.filter(hour=HOUR + timedelta(hours=hours)).update(last_status=status)
    assert [(row["fetches"], row["last_status"]) for row in checked()["worst"]] == [(6, 403)]
    assert checked(min_fetches=7)["worst"] == []


def test_of_very_many_domains_the_worst_hundred_are_named_and_all_are_counted(caplog) -> None:
    DomainHour.objects.bulk_create(
        [DomainHour(domain=f"d{n}.example", hour=HOUR, succeeded=n, failed=1000 - n) for n in range(150)]
    )
    said = checked()
    assert (said["below"], len(said["worst"])) == (150, 100)
    assert said["worst"][-1]["domain"] == "d99.example"
    assert caplog.text.count("example") == 10


def test_without_fetches_there_is_nothing_to_say(caplog: pytest.LogCaptureFixture) -> None:
    said = check_task.apply().get()
    assert (said["domains"], said["fetches"], said["below"], said["worst"]) == (0, 0, 0, [])
    assert not caplog.records


# --- forgetting ---


def test_old_hours_are_deleted_and_the_edge_stays() -> None:
    edge = HOUR - timedelta(days=30)
    fetched("old.example", hour=edge - timedelta(hours=1))
    fetched("edge.example", hour=edge)
    assert forget_old(30, now=NOW, progress=silent) == {"before": edge.isoformat(), "deleted": 1}
    assert [row.domain for row in DomainHour.objects.all()] == ["edge.example"]


def test_very_many_old_hours_are_deleted_in_batches_with_progress() -> None:
    old = HOUR - timedelta(days=31)
    DomainHour.objects.bulk_create([DomainHour(domain=f"{n}.example", hour=old) for n in range(2 * BATCH + 1)])
    told: list[int] = []
    said = forget_old(30, now=NOW, progress=lambda current, *_: told.append(current))
    assert (said["deleted"], told) == (2 * BATCH + 1, [BATCH, 2 * BATCH, 2 * BATCH + 1])
    assert not DomainHour.objects.exists()


def test_the_oldest_go_first() -> None:
    for days in (31, 33, 32):
        fetched(f"{days}.example", hour=HOUR - timedelta(days=days))
    assert store.forget(HOUR, limit=2) == 2
    assert DomainHour.objects.get().domain == "31.example"


def test_zero_days_keep_them_for_ever(settings) -> None:
    settings.BLOCKING_DAYS = 0
    fetched("a.example", hour=datetime(2000, 1, 1, tzinfo=UTC))
    assert cleanup_task.apply().get() == {"before": None, "deleted": 0}
    assert DomainHour.objects.exists()


def test_the_clean_up_takes_its_days_from_the_settings(settings) -> None:
    settings.BLOCKING_DAYS = 2
    settings.BLOCKING_WINDOW_HOURS = 48
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    fetched("new.example", hour=now - timedelta(days=1))
    fetched("old.example", hour=now - timedelta(days=3))
    assert cleanup_task.apply().get()["deleted"] == 1
    assert DomainHour.objects.get().domain == "new.example"


def test_what_a_check_reads_and_a_clean_up_deletes_is_found_by_the_index() -> None:
    DomainHour.objects.bulk_create(
        [DomainHour(domain=f"{n}.example", hour=HOUR - timedelta(hours=h)) for n in range(20) for h in range(500)]
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE jobs_domainhour")
        cursor.execute(f"EXPLAIN {store.FORGET}", {"before": HOUR - timedelta(hours=480), "limit": 10})
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "using jobs_domain_hour on" in plan, plan
    assert "Seq Scan" not in plan
    assert "Sort" not in plan
    window = DomainHour.objects.filter(hour__gte=HOUR - timedelta(hours=24), hour__lte=HOUR)
    assert "jobs_domain_hour" in window.explain()


# --- what feeds leave ---


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (behave.ok(RSS2), (1, 0, 0, None)),
        (behave.ok(b"no feed"), (1, 0, 0, None)),
        (behave.status(403), (0, 1, 0, 403)),
        (behave.status(429), (0, 1, 0, 429)),
        (behave.status(404), (0, 0, 1, 404)),
        (behave.status(500), (0, 0, 1, 500)),
    ],
    ids=["read", "no feed", "403", "429", "404", "500"],
)
def test_a_check_of_a_feed_is_counted_by_what_the_server_answered(server, behaviour, expected) -> None:
    with suppress(FeedError):
        read(server.serve("/feed", behaviour))
    assert counts(domain="127.0.0.1") == expected


def test_a_feed_that_is_unchanged_was_fetched_well(server) -> None:
    url = server.serve("/feed", behave.unless_matched("If-None-Match", '"v1"', behave.ok(RSS2, etag='"v1"')))
    assert [read(url)["not_modified"], read(url)["not_modified"]] == [False, True]
    assert sum(DomainHour.objects.values_list("succeeded", flat=True)) == 2


def test_a_feed_without_an_answer_failed() -> None:
    with pytest.raises(FeedError, match="could not be read"):
        read("http://127.0.0.1:1/feed")
    assert counts() == (0, 0, 1, None)


@pytest.mark.parametrize("url", ["ftp://a.example/", "http://a%20b/feed"])
def test_an_address_without_a_domain_is_counted_nowhere_and_fails_as_ever(url: str) -> None:
    with pytest.raises(FeedError):
        read(url)
    assert not DomainHour.objects.exists()


# --- in the admin ---


def test_the_admin_shows_rates_and_changes_nothing() -> None:
    fetched("a.example", succeeded=3, blocked=1)
    fetched("empty.example")
    row = DomainHour.objects.get(domain="a.example")
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    for page in ("?q=a.ex", f"{row.pk}/change/"):
        text = client.get(f"/admin/jobs/domainhour/{page}").content.decode()
        assert "a.example" in text
        assert "75%" in text
        assert "empty.example" not in text
        assert 'name="_save"' not in text
    assert client.get("/admin/jobs/domainhour/").status_code == 200
    assert client.get("/admin/jobs/domainhour/add/").status_code == 403
    assert client.post(f"/admin/jobs/domainhour/{row.pk}/delete/", {"post": "yes"}).status_code == 403
