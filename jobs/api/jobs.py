"""Submit jobs, look at one, list many."""

from dataclasses import asdict
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from ninja import Query, Router, Status

from .. import queries
from ..engine import cancel, requeue
from ..engine.newjob import new_id
from ..explain import explain, why_it_stays
from ..listing import listed
from ..search import FILTERS
from ..submit import submit
from . import schemas
from .problems import Refused, refuse_unknown

router = Router(tags=["jobs"])
REFUSALS = dict.fromkeys((401, 409, 413, 422, 429), schemas.Problem)
CREATED = {200: schemas.Job, 201: schemas.Job, **REFUSALS}
CANCELLED = {200: schemas.Cancelled, 202: schemas.Cancelled}
RETRIED = {200: schemas.Retried, 409: schemas.Problem}
LISTED = {200: schemas.JobList, 401: schemas.Problem, 422: schemas.Problem, 503: schemas.Problem}
FOUND = {401: schemas.Problem, 404: schemas.Problem}


@router.post("", response=CREATED, operation_id="create_job")
@router.post("/submit", response=CREATED, operation_id="submit_job")
def submit_job(request: HttpRequest, response: HttpResponse, job: schemas.SubmitJob) -> Status:
    """Create one job of a registered task; it is committed when this answers. 200: another job has its unique key."""
    new = new_id()
    job_id = submit(
        job.task,
        job.args,
        job.kwargs,
        queue=job.queue,
        priority=job.priority,
        countdown=job.delay,
        eta=job.run_at,
        expires=job.expires,
        max_retries=job.max_retries,
        retry_delay=job.retry_delay,
        retry_backoff=job.retry_backoff,
        retry_backoff_max=job.retry_backoff_max,
        retry_for=job.retry_for,
        time_limit=job.timeout,
        shadow=job.name,
        task_id=str(new),
        unique_key=job.unique_key,
        unique_for=job.unique_for,
        on_conflict=job.on_conflict,
        tags=job.tags,
        reference=job.reference and (job.reference.type, job.reference.id),
        created_by=request.auth,
    )
    response["Location"] = reverse("jobs_api:get_job", args=[job_id])
    return Status(201 if job_id == new else 200, queries.describe(queries.find_job(job_id)))


@router.get("", response=LISTED, operation_id="list_jobs")
def list_jobs(request: HttpRequest, filters: Query[schemas.ListJobs]) -> dict[str, Any]:
    """The jobs that match, newest first."""
    refuse_unknown(request, schemas.ListJobs.model_fields)
    given = filters.model_dump()
    return listed({name: given.pop(name) for name in FILTERS}, **given)


@router.get("/{job_id}", response={200: schemas.Job, **FOUND})
def get_job(request: HttpRequest, job_id: str) -> dict[str, Any]:
    """Everything about one job."""
    return queries.describe(queries.find_job(job_id))


@router.get("/{job_id}/status", response={200: schemas.JobStatus, **FOUND})
def get_status(request: HttpRequest, job_id: str) -> dict[str, Any]:
    """Where one job stands."""
    return queries.status(queries.find_job(job_id))


@router.get("/{job_id}/result", response={200: schemas.JobResult, **FOUND})
def get_result(request: HttpRequest, job_id: str) -> dict[str, Any]:
    """How one job ended; before that, `result` is null."""
    return queries.result(queries.find_job(job_id))


@router.get("/{job_id}/explain", response={200: schemas.Explained, **FOUND})
def explain_job(request: HttpRequest, job_id: str) -> dict[str, Any]:
    """Why one job is not running, what to see to first at the front."""
    job = queries.find_job(job_id)
    return {"job_id": job.pk, "state": job.state, "reasons": [asdict(reason) for reason in explain(job)]}


@router.post("/{job_id}/cancel", response={**CANCELLED, **FOUND})
def cancel_job(request: HttpRequest, job_id: str) -> Status:
    """End a job that waits, or ask the worker of one that runs: 202, and its state tells when it has stopped."""
    job = queries.find_job(job_id)
    done = cancel([job.pk], actor=request.auth, ip=request.META.get("REMOTE_ADDR"))
    asked = bool(done.asked)
    return Status(202 if asked else 200, {"cancelled": bool(done.now), "cancel_requested": asked})


@router.post("/{job_id}/retry", response={**RETRIED, **FOUND})
def retry_job(request: HttpRequest, job_id: str) -> dict[str, Any]:
    """Run a job again that failed, expired or was cancelled, as the same job in a new life, with its unique key."""
    job = queries.find_job(job_id)
    if not requeue([job.pk], actor=request.auth, ip=request.META.get("REMOTE_ADDR")):
        why = why_it_stays(job.pk)
        raise Refused(409, why.code, f"{why.text} {why.advice}".rstrip())
    return {"job_id": job.pk, "status": "pending"}
