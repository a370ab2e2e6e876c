"""What the faults strike, and what a fault is."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from .messages import Messages
from .observer import Observer
from .processes import Process
from .proxy import Edge
from .site import Site

Struck = Iterator[tuple[str, float]]
"""A fault under way: what it did and for how many seconds; it heals when it goes on."""


@dataclass
class Scene:
    """What the faults strike."""

    site: Site
    observer: Observer
    messages: Messages
    dice: random.Random

    def one(self, processes: list[Process]) -> Process:
        return self.dice.choice([process for process in processes if process.runs] or processes)

    def edge(self, edges: list[Edge]) -> Edge:
        return self.dice.choice(edges)
