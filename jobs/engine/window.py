"""How much may be in flight: what live workers can take, less what is on its way to them."""

from dataclasses import dataclass, field

from ..wire import ANY_QUEUE
from .link import Link

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


def read_window(link: Link, *, timeout: float) -> Window:
    """The window now; a worker that was silent for `timeout` seconds makes no room."""
    window = Window()
    for kind, routing_key, queues, count in link.rows("window", timeout=timeout):
        if kind == "lease":
            window.leases[routing_key] = count
            continue
        for key in queues if queues is not None else [ANY_QUEUE]:
            window.slots[key] = window.slots.get(key, 0) + count
    return window
