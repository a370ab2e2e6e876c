"""The engine: the only writer of job rows. Data goes enqueue → dispatch → execute → record."""

from .control import cancel, requeue
from .enqueue import NewJob, enqueue

__all__ = ["NewJob", "cancel", "enqueue", "requeue"]
