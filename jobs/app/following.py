"""Jobs that follow from the current one (chain, link) are inserted with its outcome, in one transaction."""

from typing import Any

from celery.app.amqp import AMQP

from .current import current


class FollowingAMQP(AMQP):
    """Celery's tracer dispatches callbacks and the next step of a chain through `_retry_publish`."""

    def _retry_publish(self, publish: Any, *args: Any, **kwargs: Any) -> Any:
        running = current()
        if running is None:
            return super()._retry_publish(publish, *args, **kwargs)
        running.following = True
        try:
            return super()._retry_publish(publish, *args, **kwargs)
        finally:
            running.following = False
