from .feeds import Feed, FeedEntry
from .jobs import Attempt, AuditEntry, Job, Lease, Queue, Worker

__all__ = ["Attempt", "AuditEntry", "Feed", "FeedEntry", "Job", "Lease", "Queue", "Worker"]
