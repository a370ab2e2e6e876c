"""The engine: the only writer of job rows. Data goes enqueue → dispatch → execute → record."""

from . import bulk
from .bulk import Request
from .control import boost, cancel, postpone, requeue, set_priority
from .enqueue import enqueue
from .filters import JobFilter
from .newjob import NewJob
from .pausing import pause, resume

__all__ = [
    "JobFilter",
    "NewJob",
    "Request",
    "boost",
    "bulk",
    "cancel",
    "enqueue",
    "pause",
    "postpone",
    "requeue",
    "resume",
    "set_priority",
]
