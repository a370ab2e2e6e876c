from .dead_letters import DeadLetter
from .feeds import Feed, FeedEntry
from .jobs import Attempt, AuditEntry, Chord, Job, Lease, Queue, Worker

__all__ = ["Attempt", "AuditEntry", "Chord", "DeadLetter", "Feed", "FeedEntry", "Job", "Lease", "Queue", "Worker"]
