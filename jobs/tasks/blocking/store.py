"""The only writer of what fetches came to, and its reader."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import connections, router
from django.db.models import Sum

from ...models.blocking import DomainHour
from .rates import Outcome, Rates

HERE = Path(__file__).parent
RECORD = (HERE / "record.sql").read_text()
FORGET = (HERE / "forget.sql").read_text()


def alias() -> str:
    return router.db_for_write(DomainHour)


def record(domain: str, outcome: Outcome, status: int | None, *, hour: datetime) -> None:
    counts = {kind.value: int(kind is outcome) for kind in Outcome}
    _write(RECORD, domain=domain, hour=hour, last_status=None if outcome is Outcome.SUCCEEDED else status, **counts)


def rates(first: datetime, last: datetime) -> Iterator[Rates]:
    """The sums of each domain from one hour to another, both included; read bit by bit, as there may be many."""
    rows = DomainHour.objects.using(alias()).filter(hour__gte=first, hour__lte=last)
    sums = rows.values("domain").annotate(*(Sum(kind.value) for kind in Outcome)).order_by()
    for row in sums.iterator():
        yield Rates(domain=row["domain"], **{kind.value: row[f"{kind.value}__sum"] for kind in Outcome})


def last_statuses(domains: Sequence[str], first: datetime, last: datetime) -> dict[str, int]:
    """What each of these domains answered last when it did not answer well."""
    rows = DomainHour.objects.using(alias()).filter(hour__gte=first, hour__lte=last, domain__in=domains)
    latest = rows.filter(last_status__isnull=False).order_by("domain", "-hour").distinct("domain")
    return dict(latest.values_list("domain", "last_status"))


def forget(before: datetime, *, limit: int) -> int:
    """Delete at most `limit` rows of hours before that one; returns how many."""
    return _write(FORGET, before=before, limit=limit)


def _write(statement: str, **values: Any) -> int:
    with connections[alias()].cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.rowcount
