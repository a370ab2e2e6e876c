"""Places in the lists: newest first, and by id among those created at one moment."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import BooleanField, F, Func, QuerySet, Value

from ..engine.link import as_array
from ..models import Job
from .wanted import EVER, Wanted

ORDER = ("-created_at", "-id")


class Key(NamedTuple):
    """Of one job. A larger one comes earlier."""

    created_at: datetime
    id: UUID


FRONT = Key(EVER, UUID(int=2**128 - 1))
"""Before every job."""


def front(wanted: Wanted) -> Key:
    """Before every job that was created in time."""
    return Key(wanted.until, UUID(int=0))


class Compared(Func):
    """(created_at, id) beside a key, as the database compares rows: a range of the index."""

    output_field = BooleanField()

    def __init__(self, sign: str, key: Key) -> None:
        super().__init__(F("created_at"), F("id"), Value(key.created_at), Value(key.id))
        self.sign = sign

    def as_sql(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[Any]]:
        parts = [compiler.compile(part) for part in self.source_expressions]
        created_at, id_, moment, key = (sql for sql, _ in parts)
        params = [value for _, given in parts for value in given]
        return f"(({created_at}, {id_}) {self.sign} ({moment}::timestamptz, {key}::uuid))", params


class Among(Func):
    """The job is one of these. One array is many times cheaper than a parameter for each of ten thousand."""

    output_field = BooleanField()

    def __init__(self, ids: Iterable[UUID]) -> None:
        super().__init__(F("id"), Value(as_array(ids)))

    def as_sql(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[Any]]:
        (id_, _params), (array, given) = (compiler.compile(part) for part in self.source_expressions)
        return f"{id_} = ANY ({array}::uuid[])", list(given)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Keys of what matches, in order, and how far was looked: None is to the end."""

    keys: list[Key]
    reached: Key | None = None

    def is_enough(self, need: int) -> bool:
        return len(self.keys) >= need or self.reached is None


def further(one: Stretch, other: Stretch) -> Stretch:
    """The one that looked further."""
    if one.reached is None or other.reached is None:
        return one if one.reached is None else other
    return one if one.reached <= other.reached else other


def merged(final: Stretch, live: Stretch, need: int) -> Stretch:
    """Both in order, as far as both have looked."""
    keys = sorted({*final.keys, *live.keys}, reverse=True)
    ends = [part.reached for part in (final, live) if part.reached is not None]
    reached = max(ends) if ends else None
    return Stretch([key for key in keys if reached is None or key >= reached][:need], reached)


def keys_of(jobs: QuerySet[Job]) -> list[Key]:
    return in_order(jobs.values_list("created_at", "id"))


def in_order(rows: Iterable[tuple[datetime, UUID]]) -> list[Key]:
    return sorted((Key(*row) for row in rows), reverse=True)
