"""The engine: the only writer of job rows. Data goes enqueue → dispatch → execute → record."""

from .control import requeue
from .enqueue import NewJob, enqueue

__all__ = ["NewJob", "enqueue", "requeue"]
