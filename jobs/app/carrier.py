"""The worker's main process: what it does with a message from the broker."""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID
from weakref import ref

from billiard.pool import EX_RECYCLE
from celery import Celery
from celery.worker.request import Request
from celery.worker.state import task_accepted, task_ready, task_reserved
from celery.worker.strategy import default

from ..engine.failpoints import failpoint
from ..wire import CARRIER, FORMAT, MOST_LEASES
from .child import carry_here

logger = logging.getLogger("jobs")

NEVER = 10.0**9
"""Seconds. The pool takes 0 and None for its own limit."""


def strategy(task: Any, app: Celery, consumer: Any, **_: Any) -> Callable:
    """Celery's hook for `jobs.run`: hand the lease tokens to a child process."""
    steward = consumer.controller.steward
    # Celery's own limits would bind the whole lease; each job has them instead.
    limited = consumer.controller.time_limit or consumer.controller.soft_time_limit
    no_limits = {"timeout": NEVER, "soft_timeout": NEVER} if limited else {}

    def handle(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any, **_: Any) -> None:
        tokens = read_tokens(message)
        if tokens is None:
            steward.refuse(CARRIER, f"malformed carrier: {message.body!r:.200}")
            message.reject_log_error(logger, consumer.connection_errors)
            return
        request = CarrierRequest(
            message,
            on_ack=ack,
            on_reject=reject,
            app=app,
            hostname=consumer.hostname,
            eventer=None,
            task=task,
            connection_errors=consumer.connection_errors,
            body=([], {}, {}),
            headers=message.headers,
            decoded=True,
        )
        request.tokens, request.steward, request.no_limits = tokens, steward, no_limits
        task_reserved(request)
        for callback in callbacks or ():
            callback(request)
        consumer.on_task_request(request)

    return handle


def guard(task: Any, app: Celery, consumer: Any, **kwargs: Any) -> Callable:
    """Celery's hook for every other task: only one declared track=False may arrive as a message of its own."""
    if not getattr(task, "track", True):
        return default(task, app, consumer, **kwargs)
    steward = consumer.controller.steward

    def refuse(message: Any, *_: Any, **__: Any) -> None:
        steward.refuse(task.name, "a tracked task arrived as a message of its own, without a lease")
        message.reject_log_error(logger, consumer.connection_errors)

    return refuse


def read_tokens(message: Any) -> list[UUID] | None:
    """The lease tokens of a message, or None for anything that is not exactly that."""
    try:
        (format_, *tokens), kwargs, _ = message.payload
        if format_ != FORMAT or kwargs != {} or not 1 <= len(tokens) <= MOST_LEASES:
            return None
        return [UUID(token) for token in tokens]
    except Exception:
        return None  # anyone may write to the broker, and a forged body can break any decoder anyhow


class CarrierRequest(Request):
    """One message in the worker's books. It emits nothing of its own: jobs do."""

    tokens: list[UUID]
    steward: Any
    no_limits: dict[str, float]

    def execute_using_pool(self, pool: Any, **_: Any) -> Any:
        result = pool.apply_async(
            carry_here,
            args=([str(token) for token in self.tokens], str(self.steward.boot)),
            accept_callback=self.on_accepted,
            callback=self.on_success,
            error_callback=self.on_failure,
            correlation_id=self.id,
            **self.no_limits,
        )
        self._apply_result = result and ref(result)
        return result

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        self.worker_pid, self.time_start = pid, time_accepted
        failpoint("K9")
        task_accepted(self)
        self.acknowledge()

    def on_success(self, result: Any, **_: Any) -> None:
        task_ready(self, successful=False)
        if not isinstance(result, int):
            self.steward.lost_message(self.tokens, str(getattr(result, "exception", result)))
        self.steward.wake()

    def on_failure(self, exc_info: Any, **_: Any) -> None:
        """The child is gone: it died or broke while it carried the leases, or was to be replaced after them."""
        task_ready(self)
        self.acknowledge()
        if getattr(exc_info.exception, "code", None) == EX_RECYCLE:
            self.steward.replace_soon()
        else:
            self.steward.lost_message(self.tokens, str(exc_info.exception))

    def cancel(self, pool: Any, signal: Any = None, emit_retry: bool = True) -> None:
        # A thread can't be terminated, and Celery's pool of them would raise.
        with suppress(NotImplementedError):
            super().cancel(pool, signal, emit_retry=emit_retry)
        self._announce_cancelled()

    def _announce_cancelled(self, emit_retry: bool = True) -> None:
        task_ready(self)
        self.steward.hurry()

    def info(self, safe: bool = False) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": CARRIER,
            "leases": [str(token) for token in self.tokens],
            "hostname": self.hostname,
            "time_start": self.time_start,
            "acknowledged": self.acknowledged,
            "worker_pid": self.worker_pid,
        }
