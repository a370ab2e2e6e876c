"""AsyncResult from the job row. Groups and untracked tasks keep django-celery-results' storage."""

import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID

from celery import states
from celery.exceptions import TimeoutError as CeleryTimeout
from django_celery_results.backends.database import DatabaseBackend
from kombu.utils.json import dumps, loads

from ..engine.enqueue import in_transaction
from ..engine.link import Link, jobs_alias
from ..engine.newjob import job_key
from ..engine.payload import is_storable
from ..errors import InvalidJob, NotCommitted
from ..models import Attempt, Job
from ..states import FINAL, State
from .current import current
from .following import following
from .gathering import foretell, size
from .results import FIRST_POLL, LAST_POLL
from .task import report

CELERY_STATE = {
    State.BLOCKED: states.PENDING,
    State.SCHEDULED: states.PENDING,
    State.PENDING: states.PENDING,
    State.PAUSED: states.PENDING,
    State.DISPATCHED: states.PENDING,
    State.RUNNING: states.STARTED,
    State.RETRYING: states.RETRY,
    State.COMPLETED: states.SUCCESS,
    State.FAILED: states.FAILURE,
    State.DEAD_LETTER: states.FAILURE,
    State.CANCELLED: states.REVOKED,
    State.EXPIRED: states.REVOKED,
}


class JobBackend(DatabaseBackend):
    """Reads job rows; writes nothing about a tracked job, whose outcome the worker records under its lease."""

    thread_safe = True
    supports_autoexpire = True

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        if (key := _key(task_id)) is None:
            return self.meta_from_decoded({"task_id": task_id, "status": states.PENDING, "result": None})
        job = _rows().filter(pk=key).first()
        return super()._get_task_meta_for(task_id) if job is None else self._meta(task_id, job, _tracebacks([job]))

    def _meta(self, task_id: str, job: Job, tracebacks: Mapping[UUID, str | None]) -> dict[str, Any]:
        status = CELERY_STATE[State(job.state)]
        # A job that waits or runs again keeps its last failure in the row; to Celery it has no result yet.
        result = loads(job.result) if job.result and status != states.PENDING else None
        if status == states.STARTED:
            status, result = _live(job)
        elif status == states.REVOKED or (status == states.FAILURE and result is None):
            result = {
                "exc_type": "TaskRevokedError" if status == states.REVOKED else "RuntimeError",
                "exc_module": "celery.exceptions" if status == states.REVOKED else "builtins",
                "exc_message": [job.error or job.state],
            }
        meta = {
            "task_id": task_id,
            "status": status,
            "result": result,
            "traceback": None,
            "children": loads(job.children) if job.children else [],
            "date_done": job.finished_at,
            "name": job.task,
            "worker": job.worker,
            "retries": job.retries,
            "queue": job.queue,
            "args": loads(job.args),
            "kwargs": loads(job.kwargs),
        }
        if status in states.EXCEPTION_STATES:
            meta["traceback"] = tracebacks.get(job.pk)
        return self.meta_from_decoded(meta)

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any
    ) -> Any:
        """`self.update_state()` of the running job is its progress; of another job it is refused."""
        running = current()
        if running is not None and task_id == running.task_id:
            fields = result if isinstance(result, dict) else {}
            report(
                {
                    **{k: v for k, v in fields.items() if k in ("current", "total", "message")},
                    "state": state,
                    "meta": result,
                }
            )
            return result
        if _rows().filter(pk=job_key(task_id)).exists():
            raise InvalidJob(f"Job {task_id} is not the one running here: only its worker can set its state.")
        return super().store_result(task_id, result, state, traceback, request=request, **kwargs)

    def mark_as_done(self, task_id: str, result: Any, request: Any = None, *args: Any, **kwargs: Any) -> None:
        running = current()
        if running is None:
            super().mark_as_done(task_id, result, request, *args, **kwargs)
        else:
            # The work is done: what interrupts now must not make a failure of it.
            running.interruptible = running.interruptible and task_id != running.task_id

    def mark_as_failure(
        self,
        task_id: str,
        exc: Exception,
        traceback: Any = None,
        request: Any = None,
        store_result: bool = True,
        call_errbacks: bool = True,
        **kwargs: Any,
    ) -> None:
        if current() is None:
            if store_result and _rows().filter(pk=job_key(task_id)).exists():
                return  # a stray message under a job's id says nothing about the job
            super().mark_as_failure(task_id, exc, traceback, request, store_result, call_errbacks, **kwargs)
        elif request is not None and call_errbacks and request.errbacks:
            with following():
                self._call_task_errbacks(request, exc, traceback)

    def _errback_arity_greater(self, errback: Any, n: int) -> bool:
        """A chain is called with the failed job's id, like a group, a chord or a task of one argument.

        Celery would call it here with the request, the exception and the traceback, which no message can carry.
        """
        return errback.get("subtask_type") != "chain" and super()._errback_arity_greater(errback, n)

    def mark_as_retry(self, task_id: str, *args: Any, **kwargs: Any) -> None:
        if current() is None and not _rows().filter(pk=job_key(task_id)).exists():
            super().mark_as_retry(task_id, *args, **kwargs)

    def mark_as_revoked(self, task_id: str, *args: Any, **kwargs: Any) -> None:
        if not _rows().filter(pk=job_key(task_id)).exists():
            super().mark_as_revoked(task_id, *args, **kwargs)

    def wait_for_pending(self, result: Any, *args: Any, **kwargs: Any) -> Any:
        # Of a chain, only the first step is there to be seen.
        self.refuse_uncommitted([node.id for node in result._parents()])
        return super().wait_for_pending(result, *args, **kwargs)

    def wait_for(
        self,
        task_id: str,
        timeout: float | None = None,
        interval: float = LAST_POLL,
        no_ack: bool = True,
        on_interval: Any = None,
    ) -> dict[str, Any]:
        """Poll the row, from 2 ms to 500 ms apart. Raises NotCommitted for a job of the open transaction."""
        self._ensure_not_eager()
        self.refuse_uncommitted([task_id])
        until = None if timeout is None else time.monotonic() + timeout
        pause = FIRST_POLL
        while True:
            meta = self.get_task_meta(task_id)
            if meta["status"] in states.READY_STATES:
                return meta
            if on_interval:
                on_interval()
            if until is not None and time.monotonic() >= until:
                raise CeleryTimeout(f"Job {task_id} is {meta['status']} after {timeout:g} s.")
            time.sleep(pause if until is None else min(pause, max(0.0, until - time.monotonic())))
            pause = min(LAST_POLL, pause * 1.5)

    def _forget(self, task_id: str) -> None:
        if (key := _key(task_id)) is None:
            return
        if _rows().filter(pk=key).exists():
            _reader.rows("forget", id=key)
        else:
            super()._forget(task_id)

    def apply_chord(self, header_result_args: Any, body: Any, **_: Any) -> None:
        """The body becomes blocked jobs, inserted with the header that Celery calls next."""
        group_id, results = header_result_args
        foretell(group_id, results, body)

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        size(group_id, chord_size)

    def on_chord_part_return(self, *_: Any, **__: Any) -> None:
        """Members are counted where their outcomes are recorded."""

    def states_of(self, task_ids: Collection[str]) -> dict[str, str]:
        """Celery's state of each result, in one query; those of untracked tasks are asked for one by one."""
        keys = _keys(task_ids)
        seen = dict(_rows().filter(pk__in=keys.values()).values_list("pk", "state")) if keys else {}
        return {
            task_id: CELERY_STATE[State(seen[key])] if (key := keys.get(task_id)) in seen else self.get_state(task_id)
            for task_id in task_ids
        }

    def metas_of(self, task_ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """What `get_task_meta` says of each result, in one query for all, and one more if some have failed."""
        keys = _keys(task_ids)
        jobs = {job.pk: job for job in _rows().filter(pk__in=keys.values())} if keys else {}
        tracebacks = _tracebacks(jobs.values())
        return {
            task_id: self._meta(task_id, jobs[key], tracebacks)
            if (key := keys.get(task_id)) in jobs
            else self.get_task_meta(task_id)
            for task_id in task_ids
        }

    def refuse_uncommitted(self, task_ids: Collection[str]) -> None:
        """Raises NotCommitted: inside a transaction, jobs that only this connection sees never end while it waits."""
        if not task_ids or not in_transaction():
            return
        keys = _keys(task_ids)
        seen = set(_rows().filter(pk__in=keys.values()).exclude(state__in=FINAL).values_list("pk", flat=True))
        seen -= {row[0] for row in _reader.rows("committed", ids=list(seen))}
        for task_id, key in keys.items():
            if key in seen:
                raise NotCommitted(
                    f"Job {task_id} was enqueued in the transaction that is still open: no worker sees it before the "
                    "commit. Wait for its result after the atomic block; in a test, run_jobs() of jobs.testing runs it."
                )


_reader = Link("jobs results")


def _rows() -> Any:
    return Job.objects.using(jobs_alias())


def _key(task_id: str) -> UUID | None:
    """The key of an id; None for one that neither a job nor a result can have."""
    try:
        return job_key(task_id) if is_storable(str(task_id)) else None
    except InvalidJob:
        return None


def _keys(task_ids: Collection[str]) -> dict[str, UUID]:
    return {task_id: key for task_id in task_ids if (key := _key(task_id)) is not None}


def _live(job: Job) -> tuple[str, Any]:
    progress = job.progress or {}
    if "state" in progress:
        return progress["state"], loads(dumps(progress.get("meta")))
    return states.STARTED, {"hostname": job.worker, **progress}


def _tracebacks(jobs: Iterable[Job]) -> dict[UUID, str | None]:
    """The latest traceback of each job that failed, in one query."""
    epochs = {job.pk: job.epoch for job in jobs if CELERY_STATE[State(job.state)] in states.EXCEPTION_STATES}
    if not epochs:
        return {}
    attempts = Attempt.objects.using(jobs_alias()).filter(job_id__in=epochs).order_by("number")
    return {
        job_id: traceback
        for job_id, epoch, traceback in attempts.values_list("job_id", "epoch", "traceback")
        if epoch == epochs[job_id]
    }
