"""Room 2: lease ready jobs in rank order and hand a bounded window of leases to the broker."""

import logging
import time
import zlib
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import uuid4

from ..conf import JobsSettings
from ..errors import BrokerDown, QueueRefused
from ..policy import Candidate, lull, place, plan_carriers, share_messages
from ..wire import MOST_LEASES
from .broker import Broker, Message
from .durations import Durations
from .failpoints import failpoint
from .floors import HIGHEST, LOWEST, Floors, Position
from .link import Link, as_array
from .window import Window, read_window

logger = logging.getLogger("jobs")

LOCK_FAMILY = 0x6A6F6273  # "jobs"
LENGTH_AGE = 0.25
"""Seconds for which the length of a broker queue is taken as known."""
LONGEST_LULL = 0.025
"""Seconds that are waited at most between two rounds, however long the jobs are that were sent."""
FULL = 10**9
"""Messages that wait in a queue that the broker refuses: no room for another."""
SET_ASIDE = 2_000
"""Jobs at the front of a queue that are looked at for those that a pause holds, at once."""


def front(link: Link, queue: str, *, limit: int, begin: Position = LOWEST, end: Position = HIGHEST) -> list[Candidate]:
    """The best ranked pending jobs of a queue between two positions, locked in the open transaction."""
    rows = link.rows("front", queue=queue, limit=limit, rank=begin[0], id=begin[1], last_rank=end[0], last_id=end[1])
    return [Candidate(*row) for row in rows]


class Dispatcher:
    """One dispatcher; it works while it holds the lock of its set of queues, else it stands by."""

    def __init__(self, link: Link, broker: Broker, settings: JobsSettings, *, queues: Sequence[str] = ()) -> None:
        self.link = link
        self.broker = broker
        self.settings = settings
        self.queues = frozenset(queues)
        self.durations = Durations(link)
        self.leads = False
        self._unsent: deque[Message] = deque()
        self.floors = Floors()
        self.length_age = LENGTH_AGE
        self._excesses: dict[str, tuple[float, int]] = {}
        self._order: list[str] = []
        self._turn = 0
        self._pausing = False
        self._resend_all = False
        self.lull = 0.0
        """Seconds after a round that may pass before a slot stands still: each has a carrier more than it runs."""

    def lead(self) -> bool:
        """Try to become the active dispatcher. A new leader sends every unwon lease again: a win happens only once."""
        key = zlib.crc32(",".join(sorted(self.queues)).encode()) & 0x7FFFFFFF
        self.leads = self.link.rows("lead", family=LOCK_FAMILY, key=key)[0][0]
        if self.leads:
            self.link.rows("listen")
            self._resend_all = True
        return self.leads

    @property
    def is_backed_up(self) -> bool:
        """Whether jobs waited at the last look: then there will be room for them soon."""
        return bool(self._order)

    def promote(self) -> int:
        return len(self.link.rows("promote", limit=1000, aging_us=self.settings.aging * 1_000_000))

    def dispatch(self) -> int:
        """One round over the queues that have work. Returns the number of jobs handed to the broker."""
        if not self._send_unsent():
            return 0
        queues = self._ready_queues()
        if not queues:
            return 0
        window = read_window(self.link, timeout=self.settings.worker_timeout)
        sent, empty = 0, set[str]()
        self.lull = LONGEST_LULL
        for queue in queues:
            if queue not in empty:
                count = self._dispatch_queue(queue, window)
                sent += count
                if not count:
                    empty.add(queue)
        return sent

    def _ready_queues(self) -> list[str]:
        """Queues with work, each as often as its weight, beginning one further every round."""
        if self.floors.is_due(None):
            with self.floors.looking(None):
                self._order = self._found_queues()
        self._turn += 1
        start = self._turn % len(self._order) if self._order else 0
        return self._order[start:] + self._order[:start]

    def _found_queues(self) -> list[str]:
        order: list[str] = []
        for queue, paused, known, weight, pausing in self.link.rows("ready_queues"):
            self._pausing = pausing
            if self.queues and queue not in self.queues:
                continue
            if not known:
                self.link.rows("add_queue", name=queue, aging_us=self.settings.aging * 1_000_000)
            if not paused:
                order += [queue] * weight
        return order

    def _dispatch_queue(self, queue: str, window: Window) -> int:
        sent = 0
        for routing_key in window.keys_for(queue):
            room = window.room(routing_key, 0)
            if room > 0:
                room = window.room(routing_key, self._excess(routing_key, window.leases.get(routing_key, 0)))
            if room > 0:
                sent += self._claim(queue, routing_key, room, window)
        return sent

    def _excess(self, routing_key: str, leases: int) -> int:
        """Messages in the broker beyond the unfinished leases, stale or forged ones, as it was lately."""
        until, excess = self._excesses.get(routing_key, (0.0, 0))
        if time.monotonic() >= until:
            excess = max(0, self._length(routing_key) - leases)
            self._excesses[routing_key] = time.monotonic() + self.length_age, excess
        return excess

    def _length(self, routing_key: str) -> int:
        try:
            return self.broker.length(routing_key)
        except QueueRefused:
            return FULL
        except BrokerDown:
            self._resend_all = True
            raise

    def _claim(self, queue: str, routing_key: str, room: int, window: Window) -> int:
        """Lease the front of a queue in one transaction, then send; a crash in between is healed by `lead`."""
        limit = room * self.durations.per_place(queue, self.settings)
        how: dict[str, Any] = {
            "expected": self.durations.expected,
            "target": self.settings.carrier_seconds,
            "most": self.settings.carrier_max,
        }
        with self.link.transaction():
            candidates = self._front(queue, limit)
            self.durations.learn({job.task for job in candidates})
            carriers = plan_carriers(candidates, room, **how)
            if not carriers:
                return 0
            places = [place(carrier[0], **how) for carrier in carriers]
            self.durations.note_carriers(queue, carriers, places)
            self.lull = min(self.lull, lull(carriers, self.durations.expected))
            tokens = [uuid4() for _ in carriers]
            leased = self.link.rows(
                "dispatch",
                queue=queue,
                routing_key=routing_key,
                ids=as_array(job.id.hex for carrier in carriers for job in carrier),
                tokens=_of_each_job(map(str, tokens), carriers),
                places=_of_each_job(places, carriers) if any(size != 1.0 for size in places) else None,
            )
            failpoint("KD1")
        failpoint("KD2")
        last = carriers[-1][-1]
        self.floors.leased(queue, (last.rank, last.id))
        made = {row[0] for row in leased}
        for message in share_messages(tokens, places, room, MOST_LEASES):
            if sure := [token for token in message if token in made]:
                self._unsent.append((routing_key, sure))
        window.fill(routing_key, places)
        self._send_unsent()
        return sum(map(len, carriers))

    def _front(self, queue: str, limit: int) -> list[Candidate]:
        floor = self.floors.floor(queue)
        if floor != LOWEST:
            return front(self.link, queue, limit=limit, begin=floor)
        with self.floors.looking(queue):
            seen = self._set_aside(queue) if self._pausing else None
            found = front(self.link, queue, limit=limit, end=seen or HIGHEST)
        if seen:
            self.floors.look_again(queue)
            if len(found) < limit:
                begin = max(seen, self.floors.last(queue))
                found += front(self.link, queue, limit=limit - len(found), begin=begin)
        return found

    def _set_aside(self, queue: str) -> Position | None:
        """Move what pauses hold out of the way, so that no claim walks over it. Returns where it ended, if early."""
        for rank, id_, seen, held in self.link.rows("hold", queue=queue, limit=SET_ASIDE):
            if seen == SET_ASIDE and held:
                return rank, id_
        return None

    def _send_unsent(self) -> bool:
        """Send what is leased and not in the broker. False while the broker is away."""
        if self._resend_all:
            self._unsent = deque((key, [token]) for key, token in self.link.rows("unwon", limit=10_000))
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


def _of_each_job(values: Iterable[object], carriers: Sequence[Sequence[Candidate]]) -> str:
    """What is said of each carrier, for each of its jobs."""
    return as_array(value for value, carrier in zip(values, carriers, strict=True) for _ in carrier)
