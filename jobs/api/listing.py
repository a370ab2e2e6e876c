"""The query of a list: what may stand in it, and the page that it asks for."""

from collections.abc import Iterable
from typing import Any

from django.utils import timezone

from .. import queries
from ..errors import InvalidSearch
from ..search import FILTERS, refuse_unknown, search, terms_of
from .schemas import ListJobs

PLACES = ("offset", "page", "cursor")


def found(given: Iterable[str], filters: ListJobs) -> dict[str, Any]:
    """One page as the contract shapes it. Raises InvalidSearch, SearchTooSlow."""
    refuse_unknown(given, tuple(ListJobs.model_fields))
    places = [name for name in PLACES if getattr(filters, name) is not None]
    if len(places) > 1:
        raise InvalidSearch(places[1], f"Give one of {', '.join(PLACES)}.")
    terms = terms_of({name: getattr(filters, name) for name in FILTERS}, filters.q)
    offset = (filters.page - 1) * filters.limit if filters.page else filters.offset or 0
    page = search(terms, now=timezone.now(), limit=filters.limit, offset=offset, cursor=filters.cursor)
    return {
        "jobs": [queries.summary(job) for job in page.jobs],
        "total": page.total,
        "total_exact": page.total_exact,
        "page": page.page,
        "next_cursor": page.next_cursor,
    }
