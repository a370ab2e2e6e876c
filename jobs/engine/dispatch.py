"""Room 2: lease ready jobs in rank order and hand a bounded window of leases to the broker."""

import logging
import time
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import psycopg

from ..conf import JobsSettings
from ..errors import BrokerDown, QueueRefused
from ..policy import Candidate, plan_carriers
from ..wire import ANY_QUEUE
from .broker import Broker
from .durations import Durations
from .failpoints import failpoint
from .link import Link
from .unready import unready

logger = logging.getLogger("jobs")

LOCK_FAMILY = 0x6A6F6273  # "jobs"
FULL = 10**9
"""Messages that wait in a queue that the broker refuses: no room for another."""
WINDOW = 2
"""Carriers in flight per worker slot: one runs, one waits so that the slot never does."""


@dataclass
class Window:
    """Room for carriers, by routing key."""

    slots: dict[str, int] = field(default_factory=dict)
    leases: dict[str, int] = field(default_factory=dict)

    def room(self, routing_key: str, waiting: int) -> int:
        return WINDOW * self.slots.get(routing_key, 0) - max(self.leases.get(routing_key, 0), waiting)

    def keys_for(self, queue: str) -> list[str]:
        """Where jobs of a queue may go: its own workers first, then those that serve every queue."""
        return [key for key in (queue, ANY_QUEUE) if self.slots.get(key)]


class Dispatcher:
    """One dispatcher; it works while it holds the lock of its set of queues, else it stands by."""

    def __init__(self, link: Link, broker: Broker, settings: JobsSettings, *, queues: Sequence[str] = ()) -> None:
        self.link = link
        self.broker = broker
        self.settings = settings
        self.queues = frozenset(queues)
        self.durations = Durations(link)
        self.leads = False
        self._unsent: deque[tuple[str, UUID]] = deque()
        self._turn = 0
        self._resend_all = False

    def lead(self) -> bool:
        """Try to become the active dispatcher. A new leader sends every unwon lease again: a win happens only once."""
        key = zlib.crc32(",".join(sorted(self.queues)).encode()) & 0x7FFFFFFF
        self.leads = self.link.rows("lead", family=LOCK_FAMILY, key=key)[0][0]
        if self.leads:
            self.link.rows("listen")
            self._resend_all = True
        return self.leads

    def promote(self) -> int:
        return len(self.link.rows("promote", limit=1000, aging_us=self.settings.aging * 1_000_000))

    def dispatch(self) -> int:
        """One round over the queues that have work. Returns the number of jobs handed to the broker."""
        if not self._send_unsent():
            return 0
        queues = self._ready_queues()
        if not queues:
            return 0
        window = self._window()
        sent, empty = 0, set[str]()
        for queue in queues:
            if queue not in empty:
                count = self._dispatch_queue(queue, window)
                sent += count
                if not count:
                    empty.add(queue)
        return sent

    def _ready_queues(self) -> list[str]:
        """Queues with work, each as often as its weight, beginning one further every round."""
        order: list[str] = []
        for queue, paused, known, weight in self.link.rows("ready_queues"):
            if self.queues and queue not in self.queues:
                continue
            if not known:
                self.link.rows("add_queue", name=queue, aging_us=self.settings.aging * 1_000_000)
            if not paused:
                order += [queue] * weight
        self._turn += 1
        start = self._turn % len(order) if order else 0
        return order[start:] + order[:start]

    def _window(self) -> Window:
        window = Window()
        timeout = self.settings.worker_timeout
        for kind, routing_key, queues, count in self.link.rows("window", timeout=timeout):
            if kind == "lease":
                window.leases[routing_key] = count
                continue
            for key in queues if queues is not None else [ANY_QUEUE]:
                window.slots[key] = window.slots.get(key, 0) + count
        return window

    def _dispatch_queue(self, queue: str, window: Window) -> int:
        sent = 0
        for routing_key in window.keys_for(queue):
            room = window.room(routing_key, 0)
            if room > 0:
                room = window.room(routing_key, self._waiting(routing_key))
            if room > 0:
                carriers = self._claim(queue, routing_key, room)
                window.leases[routing_key] = window.leases.get(routing_key, 0) + len(carriers)
                sent += sum(len(carrier) for carrier in carriers)
        return sent

    def _waiting(self, routing_key: str) -> int:
        try:
            return self.broker.length(routing_key)
        except QueueRefused:
            return FULL
        except BrokerDown:
            self._resend_all = True
            raise

    def _claim(self, queue: str, routing_key: str, room: int) -> list[list[Candidate]]:
        """Lease the front of a queue in one transaction, then send; a crash in between is healed by `lead`."""
        limit = room * self.durations.per_carrier(queue, self.settings)
        with self.link.transaction():
            front = [Candidate(*row) for row in self.link.rows("front", queue=queue, limit=limit)]
            self.durations.learn({job.task for job in front})
            carriers = plan_carriers(
                front,
                room,
                expected=self.durations.expected,
                target=self.settings.carrier_seconds,
                most=self.settings.carrier_max,
            )
            if not carriers:
                return []
            self.durations.note_carriers(queue, carriers)
            tokens = [uuid4() for _ in carriers]
            leased = self.link.rows(
                "dispatch",
                queue=queue,
                routing_key=routing_key,
                ids=[job.id for carrier in carriers for job in carrier],
                tokens=[token for token, carrier in zip(tokens, carriers, strict=True) for _ in carrier],
            )
            failpoint("KD1")
        failpoint("KD2")
        made = {row[0] for row in leased}
        self._unsent.extend((routing_key, token) for token in tokens if token in made)
        self._send_unsent()
        return carriers

    def _send_unsent(self) -> bool:
        """Send what is leased and not in the broker. False while the broker is away."""
        if self._resend_all:
            self._unsent = deque((key, token) for key, token in self.link.rows("unwon", limit=10_000))
        if not self._unsent:
            self._resend_all = False
            return True
        try:
            self.broker.send(list(self._unsent))
            failpoint("KD4")
        except BrokerDown:
            self._resend_all = True
            raise
        self._unsent.clear()
        self._resend_all = False
        return True


def run(
    dispatcher: Dispatcher, sweep: Callable[[], None], stop: Callable[[], bool], upkeep: Callable[[], float]
) -> None:
    """Dispatch until `stop()`; survive the loss of the database and of the broker.

    `upkeep` does a batch of slow work and returns the seconds after which to do the next.
    """
    pause = 0.1
    while not stop():
        try:
            if not (dispatcher.leads or dispatcher.lead()):
                _nap(1.0, stop)
                continue
            _loop(dispatcher, sweep, stop, upkeep)
        except psycopg.Error as error:
            said = unready(error) or str(error).strip()
            logger.warning("dispatcher: the database does not do its part, trying again: %s", said)
            dispatcher.leads = False
            dispatcher.link.close()
            _nap(pause, stop)
            pause = min(5.0, pause * 2)
        else:
            pause = 0.1


def _loop(
    dispatcher: Dispatcher, sweep: Callable[[], None], stop: Callable[[], bool], upkeep: Callable[[], float]
) -> None:
    settings = dispatcher.settings
    promote_at = sweep_at = upkeep_at = 0.0
    idle = 0.0
    down = False
    while not stop():
        now = time.monotonic()
        if now >= promote_at:
            promote_at = now + 0.05
            dispatcher.promote()
        if now >= sweep_at:
            sweep_at = now + 1.0
            sweep()
        if now >= upkeep_at:
            upkeep_at = time.monotonic() + upkeep()
        try:
            busy = dispatcher.dispatch() > 0
            if down:
                down = False
                logger.info("dispatcher: the broker is back")
        except BrokerDown as error:
            if not down:
                logger.warning("dispatcher: %s", error)
            down = True
            _nap(0.5, stop)
            continue
        idle = 0.0 if busy else min(settings.poll_interval, max(0.002, idle * 1.5))
        if idle and dispatcher.link.notified(idle):
            idle = 0.002


def _nap(seconds: float, stop: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while not stop() and time.monotonic() < until:
        time.sleep(min(0.2, seconds))
