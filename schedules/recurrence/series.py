"""What every recurrence can say, and the list of its due times."""

from datetime import datetime
from typing import Protocol


class Recurrence(Protocol):
    def after(self, moment: datetime) -> datetime | None:
        """First due time strictly after `moment`, aware UTC; None: never again."""

    def describe(self) -> str:
        """In plain words, as "At 02:00, Monday through Friday (Europe/Berlin)"."""


def occurrences(
    recurrence: Recurrence, *, after: datetime, until: datetime | None = None, limit: int
) -> list[datetime]:
    """The first `limit` due times after a moment, none of them later than `until`."""
    found: list[datetime] = []
    due = recurrence.after(after)
    while due is not None and len(found) < limit and (until is None or due <= until):
        found.append(due)
        due = recurrence.after(due)
    return found
