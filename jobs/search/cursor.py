"""Where a page ends, as an opaque word: the next one begins there, whatever was created meanwhile."""

import base64
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

from ..errors import InvalidSearch
from .keys import Key
from .terms import Term, render

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def written(key: Key, page: int, terms: Iterable[Term]) -> str:
    """The word for the page that begins behind a key."""
    plain = [(key.created_at - _EPOCH) // _MICROSECOND, key.id.hex, page, _mark(terms)]
    return base64.urlsafe_b64encode(json.dumps(plain, separators=(",", ":")).encode()).decode().rstrip("=")


def read(cursor: str, terms: Iterable[Term]) -> tuple[Key, int]:
    """The key, and the number of the page behind it. Raises InvalidSearch."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        moment, id_, page, mark = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        key, number = Key(_EPOCH + moment * _MICROSECOND, UUID(id_)), int(page)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InvalidSearch("cursor", f"{cursor[:40]!r} is no cursor: pass a `next_cursor` as it came.") from error
    if mark != _mark(terms) or not 1 < number < 2**31:
        raise InvalidSearch("cursor", "This cursor is of another search: keep the filters, or begin without a cursor.")
    return key, number


def _mark(terms: Iterable[Term]) -> str:
    """Of what was searched for: a place in one list is none in another."""
    return sha256(render(terms).encode("utf-8", "surrogatepass")).hexdigest()[:12]
