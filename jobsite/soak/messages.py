"""What else may stand in a broker: every lease a second time, leases of long ago, and messages that nobody sent."""

import random
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from uuid import UUID, uuid4

import kombu
from celery import Celery
from kombu.exceptions import OperationalError

from jobs.app import JobsCelery
from jobs.engine.broker import Broker
from jobs.errors import BrokerDown
from jobs.wire import CARRIER

REMEMBERED = 5_000
"""Tokens kept to be sent again."""
FORGED: tuple[tuple[str, object], ...] = (
    ("jobsite.soak.tasks.noop", [[], {}, {}]),
    ("no.such.task", [[], {}, {}]),
    (CARRIER, [[1, "no token"], {}, {}]),
    (CARRIER, [[99, str(uuid4())], {}, {}]),
    (CARRIER, [[1, str(uuid4())], {"more": 1}, {}]),
    (CARRIER, [[1, str(uuid4())], {}, {}]),
    (CARRIER, {"not": "a list"}),
    (CARRIER, None),
)
"""(task, body); the last token but two is well formed and nobody's."""


class Messages:
    def __init__(self, broker_url: str, queues: Sequence[str], dice: random.Random) -> None:
        self._app: Celery = JobsCelery("soak", broker=broker_url)
        self._broker = Broker(self._app)
        self._queues = queues
        self._dice = dice
        self._seen: deque[tuple[str, str]] = deque(maxlen=REMEMBERED)
        self._known: set[str] = set()

    def remember(self, leases: Sequence[tuple[str, str]]) -> None:
        fresh = [lease for lease in leases if lease[1] not in self._known]
        self._known.update(token for _, token in fresh)
        self._seen.extend(fresh)

    def send_again(self, leases: Sequence[tuple[str, str]]) -> int:
        """How many were sent; 0 while the broker is away."""
        with suppress(BrokerDown):
            self._broker.send([(key, [UUID(token)]) for key, token in leases])
            return len(leases)
        return 0

    def stale(self, count: int) -> list[tuple[str, str]]:
        return self._dice.sample(list(self._seen), min(count, len(self._seen)))

    def forge(self) -> int:
        keys = {key for key, _ in self._seen} or set(self._queues)
        sent = 0
        with self._connected() as connection:
            producer = self._app.amqp.Producer(connection, auto_declare=False)
            for key in sorted(keys):
                for task, body in FORGED:
                    headers = {"lang": "py", "task": task, "id": str(uuid4()), "retries": 0}
                    producer.publish(
                        body, exchange="", routing_key=key, serializer="json", headers=headers, retry=False
                    )
                    sent += 1
                producer.publish(b"\x80\x04not json", exchange="", routing_key=key, content_type="application/json")
                sent += 1
        return sent

    @contextmanager
    def _connected(self) -> Iterator[kombu.Connection]:
        """A connection; a broker that is away ends the block."""
        with self._app.connection_for_write(connect_timeout=5) as connection:
            away = (OSError, OperationalError, *connection.connection_errors, *connection.channel_errors)
            with suppress(*away):
                yield connection

    def purge(self) -> int:
        """Empty the soak's own queues. Returns how many messages were there."""
        purged = 0
        with self._connected() as connection:
            for queue in self._queues:
                connection.default_channel.queue_declare(queue, durable=True, auto_delete=False)
                purged += connection.default_channel.queue_purge(queue) or 0
        return purged

    def close(self) -> None:
        """Leave nothing behind in a broker that is not the soak's own."""
        self._broker.close()
        self.purge()
        with self._connected() as connection:
            for queue in self._queues:
                connection.default_channel.queue_delete(queue)
                connection.default_channel.exchange_delete(queue)
