"""The only place that publishes: one small message per lease, to the broker that Celery is configured with."""

import logging
import socket
from collections.abc import Iterable
from typing import NoReturn
from uuid import UUID, uuid4

from celery import Celery
from kombu import Connection, Queue
from kombu.exceptions import OperationalError

from ..errors import BrokerDown
from ..wire import CARRIER, FORMAT

logger = logging.getLogger("jobs")


class Broker:
    """A connection that is opened at first use and again after it was lost. Every failure is a BrokerDown."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._connection: Connection | None = None
        self._declared: set[str] = set()

    def send(self, messages: Iterable[tuple[str, UUID]]) -> None:
        """Send (routing key, lease token) pairs. On BrokerDown some of them may be in the broker: send all again."""
        try:
            connection = self._open()
            with self._app.amqp.Producer(connection, auto_declare=False) as producer:
                for routing_key, token in messages:
                    self._declare(connection, routing_key)
                    producer.publish(
                        [[FORMAT, str(token)], {}, {}],
                        exchange="",
                        routing_key=routing_key,
                        serializer="json",
                        delivery_mode=1,
                        retry=False,
                        headers=_headers(),
                        correlation_id=str(token),
                    )
        except self._errors() as error:
            self._lost(error)

    def length(self, routing_key: str) -> int:
        """Messages that wait in one broker queue."""
        try:
            connection = self._open()
            # Not passive: over Redis a queue without messages does not exist.
            declared = connection.default_channel.queue_declare(routing_key, durable=True, auto_delete=False)
            return declared.message_count
        except self._errors() as error:
            self._lost(error)

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

    def _errors(self) -> tuple[type[Exception], ...]:
        known: tuple[type[Exception], ...] = (OperationalError, OSError, socket.timeout)
        if self._connection is not None:
            known += tuple(self._connection.connection_errors) + tuple(self._connection.channel_errors)
        return known

    def _lost(self, error: Exception) -> NoReturn:
        connection, self._connection = self._connection, None
        self._declared.clear()
        if connection is not None:
            try:
                connection.release()
            except Exception:
                logger.debug("a lost broker connection could not be closed", exc_info=True)
        raise BrokerDown(f"The broker does not answer: {error}. Messages are sent again when it does.") from error


def _headers() -> dict[str, object]:
    # A new id for every message, never a job's: workers remember revoked ids for hours.
    message_id = str(uuid4())
    return {"lang": "py", "task": CARRIER, "id": message_id, "root_id": message_id, "parent_id": None, "retries": 0}
