"""The base class of every task: Celery's, with progress and asynchronous calls."""

from datetime import UTC, datetime
from typing import Any

from asgiref.sync import sync_to_async
from celery.contrib.django.task import DjangoTask

from .current import current


class JobTask(DjangoTask):
    """A Celery task whose calls are jobs.

    `track=False` leaves a task to stock Celery, on a broker queue of its own. `dead_letter=False` makes its final
    failure `failed` instead of a dead letter. `max_retries`, if declared, is how often any failure is retried by the
    platform's policy; with `autoretry_for` only those exceptions are, by Celery's rules.
    """

    abstract = True
    track = True
    dead_letter = True
    # A parent that starts 100,000 jobs would keep as many results in memory otherwise.
    trail = False
    Strategy = "jobs.app.carrier:guard"

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

    async def adelay(self, *args: Any, **kwargs: Any) -> Any:
        """`delay()` for asynchronous code, off the event loop."""
        return await self.aapply_async(args, kwargs)

    async def aapply_async(self, *args: Any, **kwargs: Any) -> Any:
        return await sync_to_async(self.apply_async)(*args, **kwargs)


def report(progress: dict[str, Any]) -> None:
    """Raises InvalidJob, here and not when it is written, for what JSON can't carry."""
    from ..engine.enqueue import encode  # models are ready only after the app was made

    running = current()
    if running is not None:
        running.place.recorder.report(encode("progress", {**progress, "updated_at": datetime.now(UTC).isoformat()}))
