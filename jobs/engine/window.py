"""How much may be in flight: what live workers can take, less what is on its way to them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..wire import ANY_QUEUE
from .link import Link

WINDOW = 2
"""Places per worker slot: the carrier of one runs, that of the other waits so that the slot never does."""


@dataclass
class Window:
    """Room for carriers, by routing key."""

    slots: dict[str, int] = field(default_factory=dict)
    leases: dict[str, int] = field(default_factory=dict)
    places: dict[str, float] = field(default_factory=dict)

    def room(self, routing_key: str, excess: int) -> int:
        """Whole places that are free; `excess` are messages in the broker that no unfinished lease is of."""
        taken = self.places.get(routing_key, 0.0) + excess
        return math.floor(WINDOW * self.slots.get(routing_key, 0) - taken)

    def fill(self, routing_key: str, places: Sequence[float]) -> None:
        self.leases[routing_key] = self.leases.get(routing_key, 0) + len(places)
        self.places[routing_key] = self.places.get(routing_key, 0.0) + sum(places)

    def keys_for(self, queue: str) -> list[str]:
        """Where jobs of a queue may go: its own workers first, then those that serve every queue."""
        return [key for key in (queue, ANY_QUEUE) if self.slots.get(key)]


def read_window(link: Link, *, timeout: float) -> Window:
    """The window now; a worker that was silent for `timeout` seconds makes no room."""
    window = Window()
    for kind, routing_key, queues, count, places in link.rows("window", timeout=timeout):
        if kind == "lease":
            window.leases[routing_key], window.places[routing_key] = count, places
            continue
        for key in queues if queues is not None else [ANY_QUEUE]:
            window.slots[key] = window.slots.get(key, 0) + count
    return window
