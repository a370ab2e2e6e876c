"""The engine: the only writer of job rows. Data goes enqueue → dispatch → execute → record."""

from . import bulk
from .bulk import Request
from .control import boost, cancel, requeue, set_priority
from .enqueue import enqueue
from .filters import JobFilter
from .newjob import NewJob

__all__ = ["JobFilter", "NewJob", "Request", "boost", "bulk", "cancel", "enqueue", "requeue", "set_priority"]
