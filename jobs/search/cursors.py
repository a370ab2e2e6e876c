"""Where a page ends, as an opaque word: the next one begins there, whatever was created meanwhile."""

import base64
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from ..errors import InvalidSearch
from .keys import Key
from .terms import Term, render
from .ways import Total

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Place(NamedTuple):
    """Where a page begins, its number, and the total as it was on the first one: it is not counted again."""

    behind: Key
    page: int
    total: Total | None = None


def written(place: Place, terms: Iterable[Term]) -> str:
    assert place.total is not None
    moment = (place.behind.created_at - _EPOCH) // _MICROSECOND
    plain = [moment, place.behind.id.hex, place.page, *place.total, _mark(terms)]
    return base64.urlsafe_b64encode(json.dumps(plain, separators=(",", ":")).encode()).decode().rstrip("=")


def read(cursor: str, terms: Iterable[Term]) -> Place:
    """Raises InvalidSearch for what is no cursor, or one of another search."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        moment, id_, page, count, is_exact, mark = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        key = Key(_EPOCH + moment * _MICROSECOND, UUID(id_))
        if not (type(page) is type(count) is int and 1 < page < 2**31 and 0 <= count < 2**53):
            raise ValueError("numbers that none was given")
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InvalidSearch("cursor", f"{cursor[:40]!r} is no cursor: pass a `next_cursor` as it came.") from error
    if mark != _mark(terms):
        raise InvalidSearch("cursor", "This cursor is of another search: keep the filters, or begin without a cursor.")
    return Place(key, page, Total(count, is_exact is True))


def _mark(terms: Iterable[Term]) -> str:
    """Of what was searched for: a place in one list is none in another."""
    return sha256(render(terms).encode("utf-8", "surrogatepass")).hexdigest()[:12]
