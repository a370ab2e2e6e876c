"""Jobs that follow from the current one (chain, link) are inserted with its outcome, in one transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery.app.amqp import AMQP

from .current import current


class FollowingAMQP(AMQP):
    """Celery's tracer dispatches callbacks and the next step of a chain through `_retry_publish`."""

    def _retry_publish(self, publish: Any, *args: Any, **kwargs: Any) -> Any:
        with following():
            return super()._retry_publish(publish, *args, **kwargs)


@contextmanager
def following() -> Iterator[None]:
    """Calls in this block follow from the current job, if there is one: they wait for its outcome."""
    running = current()
    if running is None:
        yield
        return
    before, running.following = running.following, True
    try:
        yield
    finally:
        running.following = before
