"""One page of a search: its rows, and where the next one begins."""

from dataclasses import dataclass

from ..engine.link import jobs_alias
from ..models import Job
from .keys import Key
from .ways import Ways

WIDE = ("args", "kwargs", "options", "result", "children")
"""Columns that no list shows; each may hold a megabyte."""


@dataclass(frozen=True, slots=True)
class Page:
    jobs: list[Job]
    end: Key | None
    """Behind it the next page begins; None: there is none."""


def page(ways: Ways, *, behind: Key, offset: int = 0, limit: int) -> Page:
    """The jobs from `offset` on behind a key. May hold fewer than `limit` and have an end. Raises SearchTooSlow."""
    found = ways.find(behind, offset + limit + 1)
    shown = found.keys[offset : offset + limit]
    return Page(_jobs(shown), shown[-1] if len(found.keys) > offset + limit else found.reached)


def _jobs(keys: list[Key]) -> list[Job]:
    """The rows; one that was purged meanwhile is left out."""
    found = Job.objects.using(jobs_alias()).defer(*WIDE).in_bulk([key.id for key in keys])
    return [found[key.id] for key in keys if key.id in found]
