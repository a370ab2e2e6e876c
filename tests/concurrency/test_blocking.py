"""Fetches counted and forgotten at the same time."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction

from jobs.models import DomainHour
from jobs.tasks.blocking import record_fetch, store
from jobs.tasks.blocking.cleanup import forget_old
from tests.support.feed_reading import silent
from tests.support.threads import together

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 3, 1, 10, 30, tzinfo=UTC)
OLD = datetime(2026, 1, 1, tzinfo=UTC)


def test_no_fetch_is_lost_however_many_count_one_domain_at_once() -> None:
    def count(outcome: str) -> None:
        for _ in range(50):
            record_fetch("a.example", outcome, now=NOW)

    together(*(lambda outcome=outcome: count(outcome) for outcome in ("succeeded", "blocked", "failed") * 2))
    row = DomainHour.objects.get()
    assert (row.succeeded, row.blocked, row.failed) == (100, 100, 100)


def test_transactions_that_count_two_domains_in_opposite_order_do_not_deadlock() -> None:
    def count(first: str, second: str) -> None:
        for _ in range(20):
            with transaction.atomic():
                record_fetch(first, "succeeded", now=NOW)
                record_fetch(second, "succeeded", now=NOW)

    together(lambda: count("a.example", "b.example"), lambda: count("b.example", "a.example"))
    assert list(DomainHour.objects.values_list("succeeded", flat=True)) == [40, 40]


def test_clean_ups_at_once_delete_each_row_once() -> None:
    DomainHour.objects.bulk_create([DomainHour(domain=f"{n}.example", hour=OLD) for n in range(5000)])
    said = together(*[lambda: forget_old(30, now=NOW, progress=silent)] * 3)
    assert sum(run["deleted"] for run in said) == 5000
    assert not DomainHour.objects.exists()


def test_a_clean_up_does_not_wait_for_a_row_that_another_holds() -> None:
    DomainHour.objects.bulk_create(
        [DomainHour(domain="held.example", hour=OLD), DomainHour(domain="free.example", hour=OLD + timedelta(hours=1))]
    )

    def forget() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'")
        return store.forget(NOW, limit=10)

    with transaction.atomic():
        list(DomainHour.objects.select_for_update().filter(domain="held.example"))
        assert together(forget) == [1]
    assert DomainHour.objects.get().domain == "held.example"
