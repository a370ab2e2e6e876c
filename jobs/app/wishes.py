"""What a task may raise about its own job: run me later without counting this, or end me without a failure."""

from celery.exceptions import Ignore

from ..errors import InvalidJob
from .retrying import problem_with


class JobSnoozed(Ignore):
    """The job runs again after `seconds`; this start counts neither as a retry nor as an attempt.

    Raised by `self.snooze()`. Raises InvalidJob for what is no number of seconds from 0 to 100 years.
    """

    def __init__(self, seconds: float) -> None:
        if problem := problem_with("delay", seconds):
            raise InvalidJob(f"snooze={seconds!r}: {problem}.")
        self.seconds = float(seconds)
        super().__init__(f"runs again in {seconds:g} s")


class JobDiscarded(Ignore):
    """The job is cancelled for that reason: neither a dead letter nor retried. Raised by `self.discard()`."""

    def __init__(self, reason: str = "") -> None:
        self.reason = str(reason)
        super().__init__(f"discarded: {reason}" if reason else "discarded by its task")
