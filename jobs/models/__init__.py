from .dead_letters import DeadLetter
from .feeds import Feed, FeedEntry
from .jobs import Attempt, AuditEntry, Job, Lease, Queue, Worker

__all__ = ["Attempt", "AuditEntry", "DeadLetter", "Feed", "FeedEntry", "Job", "Lease", "Queue", "Worker"]
