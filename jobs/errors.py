"""Every error the platform raises to its callers; each message says what happened and what to do."""

import difflib
from collections.abc import Iterable


class JobsError(Exception):
    """Base of the errors below."""


class InvalidJob(JobsError, ValueError):
    """A call that can't become a job: nothing was written, the caller's transaction stays usable."""


class InvalidTask(JobsError, ValueError):
    """A task declared with values that can't work; raised when it is registered."""


class UnknownTask(InvalidJob):
    def __init__(self, name: str, known: Iterable[str]) -> None:
        near = difflib.get_close_matches(name, list(known), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        super().__init__(
            f"Unknown task {name!r}.{hint} "
            "Tasks are registered with @shared_task in a tasks module of an installed app."
        )


class InvalidFilter(JobsError, ValueError):
    """A choice of jobs that a verb does not take: nothing was changed."""


class InvalidSearch(InvalidFilter):
    """A search that can't be made; `field` is the parameter that is wrong."""

    def __init__(self, field: str, why: str) -> None:
        self.field = field
        super().__init__(why)


class SearchTooSlow(JobsError):
    """A search that would read more than a request may: nothing is known of its answer."""

    def __init__(self) -> None:
        super().__init__(
            "The search was ended because it took too long. Narrow it by state, task, queue, reference, one tag with "
            "its value, or created:>-1h."
        )


class InvalidActor(JobsError, ValueError):
    """A verb that does not say who asks for it: nothing was changed."""


class InvalidPause(JobsError, ValueError):
    """What a pause is of, or its end, can't be; its text says what is expected."""


class InvalidFetch(JobsError, ValueError):
    """A fetch that can't be counted for the blocking monitor: nothing was written."""


class InvalidFolder(JobsError, OSError):
    """A folder for temporary files that can't be made or used safely."""


class EngineOnly(JobsError, TypeError):
    """A write to the engine's rows from outside the engine."""


class JobNotFound(JobsError, LookupError):
    def __init__(self, job_id: object) -> None:
        super().__init__(f"No job {job_id}. It may have been purged, or its transaction was rolled back.")


class NotCommitted(JobsError, RuntimeError):
    """A wait for a job that the open transaction has not committed: no worker can see it yet."""


class EagerMode(JobsError, RuntimeError):
    """A call under CELERY_TASK_ALWAYS_EAGER, which would leave no job."""

    def __init__(self, task: str) -> None:
        super().__init__(
            f"{task} was called under CELERY_TASK_ALWAYS_EAGER (task_always_eager), where no row, no transaction and "
            "no retry would be as in production. Remove it. In tests, run_jobs() of jobs.testing runs what was "
            "enqueued and assert_enqueued() looks at it; task.apply() runs one task at once, without a job."
        )


class LeaseLost(JobsError, RuntimeError):
    """The job was given to another worker while its task ran: the block of `commit()` was rolled back."""

    def __init__(self, job_id: object) -> None:
        super().__init__(
            f"Job {job_id} is not this worker's any more: it was presumed dead, and the job was given to another. "
            "What this block wrote is rolled back."
        )


class CoroutineCancelled(JobsError, RuntimeError):
    """The coroutine of a job was cancelled, and not by the platform: a failure like any other."""


class CommitRefused(JobsError, RuntimeError):
    """A `commit()` inside a transaction, or the second one of a run."""


class BrokerDown(JobsError):
    """The broker did not take a message; the lease is sent again or expires."""


class QueueFull(JobsError):
    """A queue has as many waiting jobs as its `max_size` allows: nothing was written."""

    def __init__(self, queue: str, max_size: int) -> None:
        self.queue, self.max_size = queue, max_size
        super().__init__(
            f"Queue {queue!r} is full: {max_size} jobs wait already. Try again later, start more workers, or raise "
            "the queue's max_size."
        )


class DuplicateJob(JobsError):
    """Another job of the task holds the unique key, and the call said on_conflict="raise": nothing was written."""

    def __init__(self, task: str, unique_key: str, job_id: object) -> None:
        self.job_id = job_id
        super().__init__(
            f"Job {job_id} of {task!r} holds the unique key {unique_key!r}. Wait until it is over, or pass "
            'on_conflict="existing" to get its id or "replace" to put this call in its place.'
        )


class UniqueBusy(JobsError):
    """An open transaction holds the unique key: nothing was written, the caller's transaction stays usable."""

    def __init__(self, task: str, unique_key: str, why: str) -> None:
        super().__init__(
            f"The unique key {unique_key!r} of {task!r} is being taken or given up by a transaction that is still "
            f"open ({why}). Try again; enqueue unique jobs near the end of a transaction, and several in one order."
        )


class QueueRefused(JobsError):
    """The broker answers, but not for this queue: its jobs wait in the database until it does."""
