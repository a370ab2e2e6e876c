from .blocking import DomainHour
from .dead_letters import DeadLetter
from .feeds import Feed, FeedEntry
from .jobs import Attempt, AuditEntry, Chord, Job, Lease, Queue, Worker
from .pauses import Pause

__all__ = [
    "Attempt",
    "AuditEntry",
    "Chord",
    "DeadLetter",
    "DomainHour",
    "Feed",
    "FeedEntry",
    "Job",
    "Lease",
    "Pause",
    "Queue",
    "Worker",
]
