"""Why is this job not running? The facts from the database, in a few bounded queries, and what follows from them."""

import math
from datetime import UTC
from typing import Any
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, Q, Sum

from . import queries
from .engine.control import clock
from .engine.link import jobs_alias
from .models import Chord, Job, Lease, Worker
from .pauses import pauses_of
from .reasons import COUNTED, Facts, Reason, reasons
from .states import FINAL, REQUEUE, WAITING, State
from .wire import ANY_QUEUE


def explain(job: Job) -> list[Reason]:
    """Every reason that holds now, the one to see to first at the front; at least one."""
    return reasons(facts(job))


def why_it_stays(job_id: UUID) -> Reason:
    """Why a requeue did not move a job; the code is the API's. Raises JobNotFound."""
    job = queries.find_job(job_id)
    if job.state not in REQUEUE.sources:
        only = "only one that failed, expired or was cancelled runs again"
        return Reason("not_retryable", f"Job {job.pk} is {job.state}: {only}.")
    if job.after == job.pk:
        before = "it never began, because a job before it did not complete"
        return Reason("not_retryable", f"Job {job.pk} is {job.state}: {before}.", "Requeue that one, and it follows.")
    key = job.unique_key or job.given_key
    others = Job.objects.using(jobs_alias()).filter(task=job.task, unique_key=key).exclude(pk=job.pk)
    if key is not None and (holder := others.only("state").first()) is not None:
        return Reason(
            "duplicate_job",
            f"Job {job.pk} stays {job.state}: "
            f"job {holder.pk}, which is {holder.state}, holds its unique key {key!r} now.",
            "Cancel that one or wait until it lets go of the key, then requeue this one.",
        )
    return Reason(
        "unique_key_busy",
        f"Job {job.pk} stays {job.state}: an open transaction has locked it or is taking its unique key.",
        "Try again.",
    )


def facts(job: Job) -> Facts:
    """Of a job that is over, the row alone; of one with a worker, its lease too."""
    more: dict[str, Any] = {}
    if job.state in WAITING:
        more = {"dispatchers": queries.dispatchers(), "pauses": pauses_of(job), **_workers(job.queue), **_awaited(job)}
    elif job.state not in FINAL:
        more = _lease(job)
    if job.state == State.PENDING:
        more["ahead"] = _ahead(job)
    known = ("queue", "attempt", "run_at", "expires_at", "error", "finished_at", "cancel_requested_at")
    if job.state == State.RUNNING:
        more |= {"worker": job.worker, "started_at": job.started_at}
    return Facts(
        now=clock().astimezone(UTC), state=State(job.state), **{name: getattr(job, name) for name in known}, **more
    )


def _workers(queue: str) -> dict[str, int]:
    serving: list[Worker] = [worker for worker in queries.live_workers() if not queries.unserved([queue], [worker])]
    taken = Lease.objects.using(jobs_alias()).filter(routing_key__in=[ANY_QUEUE, queue]).aggregate(places=Sum("place"))
    return {
        "workers": len(serving),
        "slots": sum(worker.slots for worker in serving),
        "carriers": math.ceil(taken["places"] or 0),
    }


def _ahead(job: Job) -> int:
    pending = Job.objects.using(jobs_alias()).filter(state=State.PENDING, queue=job.queue)
    before = pending.filter(Q(rank__lt=job.rank) | Q(rank=job.rank, pk__lt=job.pk))
    return before.values("pk")[: COUNTED + 1].count()


def _awaited(job: Job) -> dict[str, Any]:
    """What a blocked job waits for: a chord's members, or one job."""
    if job.state != State.BLOCKED or job.after is None:
        return {}
    jobs = Job.objects.using(jobs_alias())
    members = jobs.filter(chord=job.after).aggregate(
        left=Count("pk", filter=~Q(state=State.COMPLETED)),
        failed=Count("pk", filter=Q(state__in=sorted(FINAL - {State.COMPLETED}))),
    )
    chord = Chord.objects.using(jobs_alias()).filter(pk=job.after).first()
    if chord is not None or members["left"]:
        size = f" of {chord.size:,} jobs" if chord else ""
        return {
            "waits_for": f"the chord {job.after}{size}",
            "members_left": members["left"],
            "members_failed": members["failed"],
        }
    if job.after == job.pk:
        return {"waits_for": "the job that takes its place", "members_left": 1}
    parent = jobs.filter(pk=job.after).only("state").first()
    if parent is None:
        return {}
    failed = parent.state in FINAL and parent.state != State.COMPLETED
    return {"waits_for": f"job {parent.pk} ({parent.state})", "members_left": 1, "members_failed": int(failed)}


def _lease(job: Job) -> dict[str, Any]:
    leases = Lease.objects.using(jobs_alias())
    lease = leases.filter(pk=job.lease).only("sent_at", "won_at", "worker").first()
    if lease is None:
        # Read together: between two looks at the two tables, a job may have ended.
        held = Job.objects.using(jobs_alias()).filter(pk=job.pk, lease=job.lease)
        return {"is_lease_gone": held.exclude(Exists(leases.filter(pk=OuterRef("lease")))).exists()}
    if lease.won_at is None:
        return {"sent_at": lease.sent_at}
    worker = Worker.objects.using(jobs_alias()).filter(pk=lease.worker).first()
    return {"worker": worker.name if worker else None, "started_at": lease.won_at}
