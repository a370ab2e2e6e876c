"""What is paused, by whom and why; read only."""

from collections.abc import Iterator

from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from .engine.link import jobs_alias
from .models import AuditEntry, Job, Pause, Queue
from .reasons import Paused


def pauses() -> list[Paused]:
    """Everything that is paused now, the longest first."""
    found = [*_of_queues(Queue.objects.using(jobs_alias())), *map(_paused, _standing())]
    return sorted(found, key=lambda pause: pause.at)


def pauses_of(job: Job) -> tuple[Paused, ...]:
    """What holds a job that waits: its queue first."""
    queue = Queue.objects.using(jobs_alias()).filter(pk=job.queue)
    return (*_of_queues(queue), *(_paused(pause) for pause in _standing() if pause.holds(job)))


def _standing() -> QuerySet[Pause]:
    return Pause.objects.using(jobs_alias()).filter(Q(until=None) | Q(until__gt=Now())).order_by("paused_at")


def _paused(pause: Pause) -> Paused:
    return Paused(
        kind=pause.kind,
        what=pause.what,
        at=pause.paused_at,
        by=pause.paused_by,
        reason=pause.reason,
        until=pause.until,
    )


def _of_queues(queues: QuerySet[Queue]) -> Iterator[Paused]:
    """The audit log knows by whom."""
    entries = AuditEntry.objects.using(jobs_alias()).filter(resource_type="queue", action="pause").order_by("-id")
    for name, at, reason in queues.exclude(paused_at=None).values_list("pk", "paused_at", "paused_reason"):
        by = entries.filter(resource_id=name).values_list("actor", flat=True).first()
        yield Paused(kind="queue", what=name, at=at, by=by or "", reason=reason)
