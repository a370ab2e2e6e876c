"""Jobs that are not over, found by the small indexes that the engine keeps of them."""

from collections.abc import Iterator

from django.db.models import F, Func, Q, QuerySet, UUIDField

from ..engine.link import jobs_alias
from ..models import Job, Lease
from ..states import LEASED, State
from .keys import Key, Stretch, in_order
from .sources import sorted_not_walked
from .wanted import Wanted

MOST = 100_000
"""Live jobs that are looked through; with more of them, only the newest jobs of all are."""
TIMED = frozenset({State.SCHEDULED, State.RETRYING})


def live_stretch(wanted: Wanted, behind: Key, need: int) -> Stretch | None:
    """The newest live jobs that match behind a key; None where too many live to look at each."""
    parts = list(_parts(wanted))
    if not _are_few(parts):
        return None
    found = [key for part in parts for key in sorted_not_walked(part.filter(wanted.conditions()), behind, need)]
    return Stretch(in_order(found)[:need])


def live_count(wanted: Wanted) -> int | None:
    """How many live jobs match; None where too many live to look at each."""
    parts = list(_parts(wanted))
    if not _are_few(parts):
        return None
    return sum(part.filter(wanted.conditions()).count() for part in parts)


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
        leased = Lease.objects.using(jobs_alias()).annotate(
            job=Func(F("job_ids"), function="unnest", output_field=UUIDField())
        )
        yield jobs.filter(Q(pk__in=leased.values("job")), state__in=sorted(LEASED))


def _are_few(parts: list[QuerySet[Job]]) -> bool:
    left = MOST
    for part in parts:
        left -= part.order_by().values("pk")[: left + 1].count()
        if left < 0:
            return False
    return True
