"""What a caller has to know of a queue, read at most once a second."""

import time
from typing import NamedTuple

from django.db.models.signals import post_delete, post_save

from ..conf import jobs_settings
from ..errors import QueueFull
from ..models import Queue
from .link import Rows

FRESH = 1.0
"""Seconds that a read is good for. A change of aging ranks the jobs anew that were enqueued with the old one."""


class QueueFacts(NamedTuple):
    aging_us: int
    max_size: int | None
    has_procedure: bool
    """Whether a job may be written by the procedure that migrate makes."""


_known: dict[str, tuple[float, QueueFacts]] = {}
_unsure_until = 0.0
"""A queue was written here a moment ago, perhaps in a transaction that is rolled back: nothing read is kept."""


def queue_facts(link: Rows, name: str) -> QueueFacts:
    until, facts = _known.get(name, (0.0, None))
    if facts is None or time.monotonic() >= until:
        ((aging_us, max_size, has_procedure),) = link.rows("queue_facts", name=name)
        if aging_us is None:
            aging_us = jobs_settings().aging * 1_000_000
        facts = QueueFacts(aging_us, max_size, has_procedure)
        if time.monotonic() >= _unsure_until:
            _known[name] = (time.monotonic() + FRESH, facts)
    return facts


def refuse_if_full(link: Rows, name: str, facts: QueueFacts, more: int = 1) -> None:
    """Raises QueueFull if the queue can't take `more` jobs. Callers that enqueue at once may pass it together."""
    if facts.max_size is None:
        return
    waiting = link.rows("waiting", queue=name, limit=facts.max_size)[0][0] if more <= facts.max_size else more
    if waiting + more > facts.max_size:
        raise QueueFull(name, facts.max_size)


def forget(**_: object) -> None:
    global _unsure_until
    _known.clear()
    _unsure_until = time.monotonic() + FRESH


post_save.connect(forget, sender=Queue, dispatch_uid="jobs.queues.saved")
post_delete.connect(forget, sender=Queue, dispatch_uid="jobs.queues.deleted")
