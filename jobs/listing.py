"""A page of the list of jobs, as the API answers it and the command line prints it."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils import timezone

from . import queries
from .errors import InvalidSearch
from .search import USUAL, search, terms_of


def listed(
    filters: Mapping[str, Sequence[str]],
    q: str = "",
    *,
    limit: int = USUAL,
    offset: int | None = None,
    page: int | None = None,
    cursor: str | None = None,
) -> dict[str, Any]:
    """The jobs that filters and query mean, newest first, from one of the places on.

    The page may be shorter than its limit and still have a `next_cursor`: what is rare may lie further back.
    Raises InvalidSearch, SearchTooSlow.
    """
    places = {"offset": offset, "page": page, "cursor": cursor}
    given = [name for name, place in places.items() if place is not None]
    if len(given) > 1:
        raise InvalidSearch(given[1], f"Give one of {', '.join(places)}.")
    if page is not None and page < 1:
        raise InvalidSearch("page", f"There is no page {page}; expected 1 or more.")
    first = (page - 1) * limit if page is not None else offset or 0
    found = search(terms_of(filters, q), now=timezone.now(), limit=limit, offset=first, cursor=cursor)
    return {
        "jobs": [queries.summary(job) for job in found.jobs],
        "total": found.total,
        "total_exact": found.total_exact,
        "page": found.page,
        "next_cursor": found.next_cursor,
    }
