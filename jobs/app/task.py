"""The base class of every task: Celery's, with progress, the job it runs for, and asynchronous calls."""

import math
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from inspect import currentframe
from traceback import walk_stack
from typing import TYPE_CHECKING, Any, NoReturn

from asgiref.sync import sync_to_async
from celery.app import autoretry
from celery.contrib.django.task import DjangoTask
from celery.exceptions import Ignore
from celery.result import ResultSet
from celery.utils.serialization import raise_with_context

from ..errors import EagerMode
from ..policy import Verdict, in_time
from .current import Current, RunningJob, current
from .following import following
from .retrying import asked_wait, check_task, retry_until
from .signature import JobSignature
from .wishes import JobDiscarded, JobSnoozed

MOST_CHILDREN = 1000
"""Results of called jobs that a run keeps; of a larger group, its first ones."""

if TYPE_CHECKING:
    from .commit import Done


class JobTask(DjangoTask):
    """A Celery task whose calls are jobs.

    `track=False` leaves a task to stock Celery, on a broker queue of its own. `dead_letter=False` makes its final
    failure `failed` instead of a dead letter. `max_retries`, if declared, is how often any failure is retried by the
    platform's policy; with `autoretry_for` only those exceptions are, by Celery's rules, and then `retry_backoff` and
    `retry_backoff_max` are Celery's too.

    `retry_delay` (seconds), `retry_backoff` (factor), `retry_backoff_max` (seconds) shape the policy. `retry_on` maps
    exception classes to their own `delay`, `backoff`, `backoff_max`, `max_retries`; `no_retry_for` lists those that
    are never retried; the most specific class holds. `retry_for` is the seconds from the call after which no retry
    begins. `on_lost="dead_letter"`: a run that had begun and whose process died is not started again.

    `atomic=True` runs the whole task as one block of `commit()`; whatever it raises, a retry too, rolls its writes
    back.
    """

    abstract = True
    track = True
    dead_letter = True
    retry_delay: float | None = None
    retry_for: float | None = None
    retry_on: Mapping[type[BaseException], Mapping[str, Any]] = {}
    no_retry_for: tuple[type[BaseException], ...] = ()
    on_lost = "retry"
    atomic = False
    Strategy = "jobs.app.carrier:guard"

    @classmethod
    def bind(cls, app: Any) -> Any:
        check_task(cls)
        return super().bind(app)

    def signature(self, args: Any = None, *more: Any, **options: Any) -> JobSignature:
        options.setdefault("app", self.app)
        return JobSignature(self, args, *more, **options)

    subtask = signature

    @property
    def job(self) -> RunningJob | None:
        """The job that this thread runs, without a query; None outside of one."""
        running = current()
        return running.view() if running is not None else None

    def snooze(self, seconds: float) -> NoReturn:
        """End this run and run the job again after `seconds`; neither a retry nor an attempt is spent.

        Raises JobSnoozed. Code that catches it doesn't undo the wish. Raises InvalidJob for no such time.
        """
        raise self._wish(JobSnoozed(seconds))

    def discard(self, reason: str = "") -> NoReturn:
        """End this job as cancelled, for that reason: it is neither retried nor a dead letter. Raises JobDiscarded."""
        raise self._wish(JobDiscarded(reason))

    def _wish(self, wish: JobSnoozed | JobDiscarded) -> JobSnoozed | JobDiscarded:
        running = current()
        if running is None:
            return wish
        running.wish = running.wish or wish
        return running.wish

    def retry(
        self,
        args: Any = None,
        kwargs: Any = None,
        exc: Any = None,
        throw: bool = True,
        eta: Any = None,
        countdown: Any = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> Any:
        """Celery's, within what the call allows: its `max_retries` and its time for retries go before the task's.

        Without a countdown or an eta, and in `autoretry_for`, not sooner than the exception asks by its Retry-After.
        """
        running = current()
        if running is None or self.request.id != running.task_id:
            return super().retry(args, kwargs, exc, throw, eta, countdown, max_retries, **options)
        if "max_retries" in running.run.options:
            limit = running.run.max_retries
            max_retries = math.inf if limit is None else limit  # type: ignore[assignment]
        failure = exc if isinstance(exc, BaseException) else sys.exception()
        running.retry_options = options
        is_timed = self._is_timed(countdown, eta, by_celery=sys._getframe(1).f_globals is autoretry.__dict__)
        try:
            answer = super().retry(args, kwargs, exc, False, eta, countdown, max_retries, **options)
            if running.again is not None and failure is not None and not is_timed:
                running.again.delay = max(running.again.delay, asked_wait(failure, running.now()))
            self._refuse_late(running, exc)
        except Exception as error:
            running.gave_up = error
            raise
        if running.again is not None:
            running.again.cause = failure
        if throw:
            raise answer
        return answer

    def _is_timed(self, countdown: Any, eta: Any, *, by_celery: bool) -> bool:
        """Whether the task's author chose the moment of this retry; Celery's own backoff is no such choice."""
        if not by_celery:
            return countdown is not None or eta is not None
        given = getattr(self, "retry_kwargs", None) or {}
        return not getattr(self, "retry_backoff", False) and not given.keys().isdisjoint(("countdown", "eta"))

    def _refuse_late(self, running: Current, exc: Any) -> None:
        """Raises what Celery raises when its retries are spent, if the retry would begin too late."""
        if running.again is None:
            return
        late = in_time(running.again.delay, now=running.now(), until=retry_until(running.run))
        if late.delay is not None:
            return
        running.again, running.verdict = None, Verdict(None, late.why)
        if exc:
            raise_with_context(exc)
        raise self.MaxRetriesExceededError(f"Can't retry {self.name}[{running.task_id}]")

    @property
    def override_max_retries(self) -> Any:
        """Celery keeps it on the task for good; here it ends with its run, and no thread sees another's."""
        if self.name in (kept := self._overrides()):
            return kept[self.name]
        raise AttributeError("override_max_retries")

    @override_max_retries.setter
    def override_max_retries(self, value: Any) -> None:
        self._overrides()[self.name] = value

    @override_max_retries.deleter
    def override_max_retries(self) -> None:
        self._overrides().pop(self.name, None)

    def _overrides(self) -> dict[str, Any]:
        running = current()
        return self.__dict__.setdefault("_override", {}) if running is None else running.overrides

    def apply(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task here and now, as Celery does: no job stands for it."""
        # What `apply_async` of a task, a chain or a group does by itself under task_always_eager.
        if any(frame.f_code.co_name == "apply_async" for frame, _ in walk_stack(currentframe())):
            refuse_eager(self)
        return super().apply(*args, **kwargs)

    def progress(self, current: float, total: float | None = None, message: str = "", **metadata: Any) -> None:
        """Report how far the running job is; cheap to call often. Does nothing outside a job."""
        report(
            {
                "current": current,
                "total": total,
                "percentage": round(100.0 * current / total, 1) if total else None,
                "message": message,
                "metadata": metadata,
            }
        )

    def is_cancelled(self) -> bool:
        """Whether someone has asked for the end of the running job; asks no database, so ask often."""
        running = current()
        return running is not None and running.place.slots.is_to_stop(running.place.index, running.run.id)

    def enqueue_many(self, rows: Any, **options: Any) -> list[str]:
        """One job for each row: a sequence of positional arguments, a mapping of keyword arguments, or a `Call`.

        All or none, in the caller's transaction, tens of thousands a second. Returns their ids, in order.
        """
        from .many import enqueue_many  # models are ready only after the app was made

        refuse_eager(self)
        return enqueue_many(self, rows, **options)

    def add_trail(self, result: Any) -> Any:
        """Remember a job that the running one called, for `AsyncResult.children`."""
        running = current()
        if self.trail and running is not None:
            running.children = self.request.children
        # A parent that starts 100,000 jobs would keep as many results in memory.
        if not self.trail or len(self.request.children) >= MOST_CHILDREN:
            return result
        kept = result
        if isinstance(result, ResultSet) and len(result) > MOST_CHILDREN:
            kept = self.app.GroupResult(getattr(result, "id", None), result.results[:MOST_CHILDREN])
        self.request.children.append(kept)
        return result

    def on_replace(self, sig: Any) -> Any:
        """`self.replace()`: the jobs that take over are inserted with this one's outcome, the last under its id."""
        running = current()
        if running is None or running.task_id != self.request.id:
            return super().on_replace(sig)
        running.replaced = True
        try:
            with following():
                return super().on_replace(sig)
        except Exception as error:
            # A call that was refused added nothing.
            running.replaced = isinstance(error, Ignore)
            raise

    def commit(self) -> "AbstractContextManager[Done]":
        """Make the block's writes and the job's completion one transaction: `with self.commit() as done:`.

        `done.result` is the job's result, and the jobs that follow from it (chain, link) are inserted with it. On the
        connection of the jobs' database alias. Raises LeaseLost, and rolls back, in a worker that was presumed dead;
        CommitRefused inside another transaction or for a second time. Outside a job it is `transaction.atomic`.
        """
        from .commit import commit  # models are ready only after the app was made

        return commit(self)

    async def adelay(self, *args: Any, **kwargs: Any) -> Any:
        """`delay()` for asynchronous code, off the event loop."""
        return await self.aapply_async(args, kwargs)

    async def aapply_async(self, *args: Any, **kwargs: Any) -> Any:
        return await sync_to_async(self.apply_async)(*args, **kwargs)


def refuse_eager(task: Any) -> None:
    """Raises EagerMode for a tracked task while Celery is told to run every call at once."""
    if task.track and task.app.conf.task_always_eager:
        raise EagerMode(task.name)


def report(progress: dict[str, Any]) -> None:
    """Raises InvalidJob, here and not when it is written, for what JSON can't carry."""
    from ..engine.payload import encode  # models are ready only after the app was made

    running = current()
    if running is not None:
        running.place.recorder.report(encode("progress", {**progress, "updated_at": datetime.now(UTC).isoformat()}))
