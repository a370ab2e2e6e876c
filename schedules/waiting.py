"""Occurrences that wait for a running job: they go on when it is over."""

import logging
from datetime import datetime
from typing import Any

from celery import Celery
from django.db import transaction

from jobs.engine.link import jobs_alias
from jobs.engine.unready import unready

from .calls import Call
from .firing import BATCH, make
from .sql import rows
from .standing import NOTHING, Recent, Standing, paused_why, read, recents
from .states import Decided

logger = logging.getLogger("jobs")


def go_on(app: Celery, now: datetime, *, limit: int = BATCH) -> int:
    """Let occurrences run whose awaited job is over, in one transaction. Returns how many there were."""
    with transaction.atomic(using=jobs_alias()):
        found = rows("waiting", limit=limit)
        standings = {one.id: one for one in read([schedule for _, schedule, _ in found])}
        known = recents(standings.values())
        for id_, schedule, _ in found:
            _go_on(app, id_, standings[schedule], known.get(schedule, NOTHING), now)
        return len(found)


def _go_on(app: Celery, id_: int, of: Standing, recent: Recent, now: datetime) -> None:
    try:
        with transaction.atomic(using=jobs_alias()):
            _decide(app, id_, of, recent, now)
    except Exception as error:
        if unready(error):
            raise
        logger.error("a waiting run of schedule %r is skipped: %s", of.name, error, extra={"schedule": of.id})
        _write(id_, Decided.SKIPPED, reason=" ".join(str(error).split())[:2_000])


def _decide(app: Celery, id_: int, of: Standing, recent: Recent, now: datetime) -> None:
    if recent.running:
        running = recent.running[0]
        _write(id_, Decided.WAITING, reason=f"job {running} is not over", waits_for=running)
    elif of.paused_at is not None:
        _write(id_, Decided.SKIPPED, reason=paused_why(of.paused_by, of.paused_reason))
    elif not of.enabled and not (of.one_off or of.max_runs):
        _write(id_, Decided.SKIPPED, reason="the schedule was disabled while it waited")
    else:
        call = Call(app, of, None, now)
        _write(id_, Decided.FIRED, reason="waited for an earlier run", job_id=call.job.id if call.job else None)
        make([(id_, call)])


def _write(id_: int, state: Decided, **columns: Any) -> None:
    rows("go_on", **{"id": id_, "state": state, "reason": "", "job_id": None, "waits_for": None, **columns})
