"""Every error the platform raises to its callers; each message says what happened and what to do."""

import difflib
from collections.abc import Iterable


class JobsError(Exception):
    """Base of the errors below."""


class InvalidJob(JobsError, ValueError):
    """A call that can't become a job: nothing was written, the caller's transaction stays usable."""


class UnknownTask(InvalidJob):
    def __init__(self, name: str, known: Iterable[str]) -> None:
        near = difflib.get_close_matches(name, list(known), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        super().__init__(
            f"Unknown task {name!r}.{hint} "
            "Tasks are registered with @shared_task in a tasks module of an installed app."
        )


class EngineOnly(JobsError, TypeError):
    """A write to the engine's rows from outside the engine."""


class JobNotFound(JobsError, LookupError):
    def __init__(self, job_id: object) -> None:
        super().__init__(f"No job {job_id}. It may have been purged, or its transaction was rolled back.")


class NotCommitted(JobsError, RuntimeError):
    """A wait for a job that the open transaction has not committed: no worker can see it yet."""


class BrokerDown(JobsError):
    """The broker did not take a message; the lease is sent again or expires."""
