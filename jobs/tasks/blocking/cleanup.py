"""The task `blocking.cleanup`: counts of fetches leave when they are old."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from celery import shared_task
from django.utils import timezone

from . import store
from .conf import blocking_settings
from .rates import hour_of

logger = logging.getLogger("jobs")

BATCH = 1000
"""Rows deleted in one transaction."""

Progress = Callable[[int, int | None, str], None]


# Neither retried nor a dead letter: the next day's run deletes what this one left.
@shared_task(bind=True, name="blocking.cleanup", max_retries=0, dead_letter=False)
def cleanup(self: Any) -> dict[str, Any]:
    """Delete the counts of hours more than BLOCKING_DAYS ago.

    Returns {"before", "deleted"}; `before` is None where they are kept for ever.
    """
    return forget_old(blocking_settings().days, now=timezone.now(), progress=self.progress)


def forget_old(days: int, *, now: datetime, progress: Progress) -> dict[str, Any]:
    """The task without its worker."""
    if not days:
        return {"before": None, "deleted": 0}
    before, deleted = hour_of(now) - timedelta(days=days), 0
    while gone := store.forget(before, limit=BATCH):
        deleted += gone
        progress(deleted, None, f"deleted {deleted:,} counts of hours before {before:%Y-%m-%d %H:%M} UTC")
    if deleted:
        logger.info("old counts of fetches deleted", extra={"count": deleted})
    return {"before": before.isoformat(), "deleted": deleted}
