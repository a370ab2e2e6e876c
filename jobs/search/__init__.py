"""Lists of jobs for the API, the console and the command line: what is asked, and one page of it in bounded time."""

from dataclasses import dataclass
from datetime import datetime

from ..errors import InvalidSearch
from ..models import Job
from . import cursors
from .cursors import Place
from .fields import wanted
from .given import FILTERS, terms_of
from .keys import front
from .pages import page
from .terms import Term
from .ways import Ways

__all__ = ["FILTERS", "MOST", "USUAL", "Found", "search", "terms_of"]

USUAL, MOST, FURTHEST = 100, 1_000, 10_000
"""Jobs of a page if nothing is said, at most, and how many may be passed over without a cursor."""


@dataclass(frozen=True, slots=True)
class Found:
    """A page. It may be shorter than its limit and have a `next_cursor`: what is rare may lie further back."""

    jobs: list[Job]
    total: int
    total_exact: bool
    page: int
    next_cursor: str | None


def search(
    terms: tuple[Term, ...], *, now: datetime, limit: int = USUAL, offset: int = 0, cursor: str | None = None
) -> Found:
    """The jobs that the terms mean, newest first: those behind a cursor, or from an offset on.

    Raises InvalidSearch, SearchTooSlow.
    """
    if not 1 <= limit <= MOST:
        raise InvalidSearch("limit", f"{limit} jobs are no page; expected 1 to {MOST:,}.")
    if not 0 <= offset <= FURTHEST:
        raise InvalidSearch("offset", f"Expected 0 to {FURTHEST:,}; go further by `next_cursor`, which costs nothing.")
    which = wanted(terms, now=now)
    ways = Ways(which)
    place = cursors.read(cursor, terms) if cursor else Place(front(which), offset // limit + 1)
    found = page(ways, behind=min(place.behind, front(which)), offset=0 if cursor else offset, limit=limit)
    count = place.total or ways.total()
    if not count.is_exact:
        # An estimate is no less than what is here to be seen.
        count = count._replace(jobs=max(count.jobs, offset + len(found.jobs)))
    all_shown = not cursor and count.is_exact and count.jobs <= offset + len(found.jobs)
    end = None if found.end is None or all_shown else cursors.written(Place(found.end, place.page + 1, count), terms)
    return Found(found.jobs, count.jobs, count.is_exact, place.page, end)
