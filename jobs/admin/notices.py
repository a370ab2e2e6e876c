"""What an operator should see first: work that nobody does."""

from dataclasses import dataclass

from .. import queries

QUEUES_NAMED = 3


@dataclass(frozen=True, slots=True)
class Notice:
    """One sentence, and the command that helps."""

    text: str
    command: str


def notices() -> list[Notice]:
    """None while every waiting job has a dispatcher and a worker."""
    queues = queries.waiting_queues()
    if not queues and not queries.has_overdue():
        return []
    waiting = _waiting()
    found = []
    if not queries.dispatchers():
        found.append(Notice(f"{waiting} and no dispatcher is running", "python3 manage.py dispatch"))
    workers = queries.live_workers()
    if not workers:
        found.append(Notice(f"{waiting} and no worker is running", "celery -A jobsite worker"))
    elif alone := queries.unserved(queues, workers):
        named = ", ".join(alone[:QUEUES_NAMED]) + (" and others" if len(alone) > QUEUES_NAMED else "")
        found.append(Notice(f"Jobs wait that no worker serves, in {named}", f"celery -A jobsite worker -Q {alone[0]}"))
    return found


def _waiting() -> str:
    pending = queries.pending()
    count = pending["count"]
    if pending["capped"]:
        return f"More than {count:,} jobs wait"
    return {0: "Jobs are due", 1: "1 job waits"}.get(count, f"{count:,} jobs wait")
