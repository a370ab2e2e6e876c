"""Jobs that are not over, found by the small indexes that the engine keeps of them."""

from collections.abc import Iterator
from functools import cached_property

from django.db.models import Count, QuerySet, Window

from ..engine.link import jobs_alias
from ..models import Job, Lease
from ..states import LEASED, State
from .keys import Among, Key, Stretch, in_order
from .sources import sorted_not_walked
from .wanted import Wanted

MOST = 100_000
"""Live jobs that are looked through; with more of them, only the newest jobs of all are."""
TIMED = frozenset({State.SCHEDULED, State.RETRYING})


class Live:
    """The live jobs of one search."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._counted: dict[Key, int] = {}

    @cached_property
    def are_few(self) -> bool:
        """Whether each can be looked at."""
        left = MOST
        for part in self._parts:
            left -= part.order_by().values("pk")[: left + 1].count()
            if left < 0:
                return False
        return True

    def newest(self, behind: Key, need: int) -> Stretch:
        """What matches behind a key, and nothing else is left."""
        found: list[tuple] = []
        count = 0
        for part in self._matching():
            part = sorted_not_walked(part, behind).annotate(of=Window(Count("pk")))
            rows = list(part.values_list("created_at", "id", "of")[:need])
            count += rows[0][2] if rows else 0
            found += [row[:2] for row in rows]
        self._counted[behind] = count
        return Stretch(in_order(found)[:need])

    def count(self, front: Key) -> int:
        """How many match; `front` is before them all."""
        if front not in self._counted:
            self._counted[front] = sum(part.count() for part in self._matching())
        return self._counted[front]

    def _matching(self) -> Iterator[QuerySet[Job]]:
        return (part.filter(self._wanted.conditions()) for part in self._parts)

    @cached_property
    def _parts(self) -> list[QuerySet[Job]]:
        return list(_parts(self._wanted))


def _parts(wanted: Wanted) -> Iterator[QuerySet[Job]]:
    """Sets that hold each live job in a wanted state; each is what one index is of.

    A leased job is found by its lease. One whose lease was lost is missed until it is taken back.
    """
    jobs = Job.objects.using(jobs_alias()).filter(wanted.created())
    states = wanted.live
    if State.PENDING in states:
        pending = jobs.filter(state=State.PENDING)
        queues = wanted.queue.values if wanted.queue and not wanted.queue.prefixes else ()
        yield pending.filter(queue__in=queues) if queues else pending
    if states & TIMED:
        yield jobs.filter(state__in=sorted(TIMED))
    for state in (State.PAUSED, State.BLOCKED):
        if state in states:
            yield jobs.filter(state=state)
    if states & LEASED:
        leases = Lease.objects.using(jobs_alias()).values_list("job_ids", flat=True)
        leased = [id_ for ids in leases[:MOST] for id_ in ids]
        if leased:
            yield jobs.filter(Among(leased), state__in=sorted(LEASED))
