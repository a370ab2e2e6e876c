"""The only place that publishes: small messages with lease tokens, to the broker that Celery is configured with."""

import logging
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from typing import Any, NoReturn
from uuid import UUID, uuid4

from celery import Celery
from kombu import Connection, Queue
from kombu.exceptions import BatchPublishError, OperationalError

from ..errors import BrokerDown, QueueRefused
from ..wire import CARRIER, FORMAT
from .confirms import Confirms, Nacked
from .failpoints import failpoint

logger = logging.getLogger("jobs")

Message = tuple[str, Sequence[UUID]]
"""Routing key, and the tokens of the leases that one worker process wins one after the other."""

TOGETHER = 1000
"""Most messages of one round trip."""
CONFIRMED = 5.0
"""Seconds that a broker has to say that it has what was sent."""
REFUSED = 30.0
"""Seconds until a queue is tried again that the broker refused."""
_REFUSALS = frozenset({403, 405, 406})  # AMQP: access refused, resource locked, precondition failed


class Broker:
    """A connection that is opened at first use and again after it was lost.

    Every failure is a BrokerDown, but for one of a single queue: that is a QueueRefused, said once in the log.
    """

    def __init__(self, app: Celery, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._clock = clock
        self._connection: Connection | None = None
        self._declared: set[str] = set()
        self._refused: dict[str, float] = {}
        self._confirms: Confirms | None = None

    def send(self, messages: Iterable[Message]) -> None:
        """Send messages. On BrokerDown some of them may be in the broker: send all again.

        Those of a refused queue are not sent: their leases are taken back in time.
        """
        waiting = deque(messages)
        while waiting:
            try:
                self._send(waiting)
            except self._errors() as error:
                self._failed(waiting.popleft()[0], error)

    def length(self, routing_key: str) -> int:
        """Messages that wait in one broker queue. Raises QueueRefused."""
        if self._is_refused(routing_key):
            raise QueueRefused(f"The broker refuses the queue {routing_key!r}.")
        try:
            connection = self._open()
            # Not passive: over Redis a queue without messages does not exist.
            declared = connection.default_channel.queue_declare(routing_key, durable=True, auto_delete=False)
        except self._errors() as error:
            self._failed(routing_key, error)
            raise QueueRefused(f"The broker refuses the queue {routing_key!r}.") from error
        self._taken(routing_key)
        return declared.message_count

    def _send(self, waiting: deque[Message]) -> None:
        """Send from the left; what is left at an error was not sent."""
        connection = self._open()
        while waiting:
            routing_key, messages = next(groupby(waiting, key=itemgetter(0)))
            alike = [tokens for _, tokens in messages]
            if not self._is_refused(routing_key):
                self._declare(connection, routing_key)
                self._publish(connection.default_channel, routing_key, alike)
            for _ in alike:
                waiting.popleft()
            failpoint("KD3")

    def _publish(self, channel: Any, routing_key: str, alike: list[Sequence[UUID]]) -> None:
        """Publish in as few round trips as the transport can; those that are not in the broker then leave the list."""
        if _sent_together(channel, routing_key, alike):
            return
        if not Confirms.are_known_to(channel):
            del alike[1:]
            channel.basic_publish(_message(channel, alike[0]), exchange="", routing_key=routing_key)
            return
        if self._confirms is None or self._confirms.channel is not channel:
            self._confirms = Confirms(channel)
        for tokens in alike:
            channel.basic_publish(_message(channel, tokens), exchange="", routing_key=routing_key)
            self._confirms.published()
        self._confirms.wait(CONFIRMED)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.release()
            self._connection = None
        self._declared.clear()

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = self._app.connection_for_write(connect_timeout=5)
            self._connection.ensure_connection(max_retries=1, timeout=5, reraise_as_library_errors=True)
        return self._connection

    def _declare(self, connection: Connection, routing_key: str) -> None:
        if routing_key not in self._declared:
            Queue(routing_key, routing_key=routing_key)(connection.default_channel).declare()
            self._declared.add(routing_key)
            self._taken(routing_key)

    def _is_refused(self, routing_key: str) -> bool:
        return self._clock() < self._refused.get(routing_key, 0.0)

    def _taken(self, routing_key: str) -> None:
        if self._refused.pop(routing_key, None) is not None:
            logger.info("the broker takes the queue again", extra={"queue": routing_key})

    def _failed(self, routing_key: str, error: Exception) -> None:
        """Raises BrokerDown, unless the error is about this one queue."""
        refused = isinstance(error, Nacked) or getattr(error, "code", None) in _REFUSALS or "WRONGTYPE" in str(error)
        if not refused:
            self._lost(error)
        if routing_key not in self._refused:
            logger.error(
                "the broker refuses the queue %r, its jobs wait in the database: %s. Delete that queue in the broker "
                "or make it durable and without arguments; it is tried again every %.0f s.",
                routing_key,
                error,
                REFUSED,
                extra={"queue": routing_key},
            )
        self._refused[routing_key] = self._clock() + REFUSED
        self.close()  # the refusal has closed its channel

    def _errors(self) -> tuple[type[Exception], ...]:
        known: tuple[type[Exception], ...] = (OperationalError, Nacked, OSError, socket.timeout)
        if self._connection is not None:
            known += tuple(self._connection.connection_errors) + tuple(self._connection.channel_errors)
        return known

    def _lost(self, error: Exception) -> NoReturn:
        connection, self._connection = self._connection, None
        self._declared.clear()
        if connection is not None:
            try:
                connection.collect()  # no farewell: a broker that does not answer would be waited for without end
            except Exception:
                logger.debug("a lost broker connection could not be closed", exc_info=True)
        raise BrokerDown(f"The broker does not answer: {error}. Messages are sent again when it does.") from error


def _sent_together(channel: Any, routing_key: str, alike: Sequence[Sequence[UUID]]) -> bool:
    """Send all in one round trip, where the transport can. False: some of them may have been sent."""
    if len(alike) == 1 or not getattr(channel, "supports_batch_publish", False):
        return False
    with closing(channel.create_publish_batch(TOGETHER)) as batch:
        try:
            for tokens in alike:
                batch.publish(_message(channel, tokens), exchange="", routing_key=routing_key)
            batch.flush()
        except BatchPublishError:
            return False  # why, one by one will tell
    return True


def _message(channel: Any, tokens: Sequence[UUID]) -> Any:
    """Celery's message of a task, without its producer, which would decide anew for each what is the same for all."""
    # A new id for every message, never a job's: workers remember revoked ids for hours.
    message_id = str(uuid4())
    quoted = ", ".join(f'"{token}"' for token in tokens)
    headers = {"lang": "py", "task": CARRIER, "id": message_id, "root_id": message_id, "parent_id": None, "retries": 0}
    return channel.prepare_message(
        f"[[{FORMAT}, {quoted}], {{}}, {{}}]",
        content_type="application/json",
        content_encoding="utf-8",
        headers=headers,
        properties={"delivery_mode": 1, "correlation_id": str(tokens[0])},
    )
