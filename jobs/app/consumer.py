"""Celery's consumer, telling of messages that no task here is for."""

import logging
from typing import Any

from celery.worker.consumer import Consumer

logger = logging.getLogger("jobs")


class JobsConsumer(Consumer):
    """Whatever it can't hand to a task is refused on record, as are other messages that nobody should send."""

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        self.controller.steward.refuse(_name(message), "no task of this name is registered here")
        try:
            super().on_unknown_task(body, message, exc)
        except Exception:
            # Celery reads ids that a forged message need not have, and tells the result backend.
            logger.warning("an unknown task's failure could not be told", exc_info=True)
        if not message.acknowledged:
            message.reject_log_error(logger, self.connection_errors)

    def on_unknown_message(self, body: Any, message: Any) -> None:
        self.controller.steward.refuse("(no task)", f"not a task's message: {message.body!r:.200}")
        super().on_unknown_message(body, message)

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        self.controller.steward.refuse(_name(message), f"an invalid message: {exc}"[:300])
        super().on_invalid_task(body, message, exc)


def _name(message: Any) -> str:
    return str((message.headers or {}).get("task") or "(no task)")
