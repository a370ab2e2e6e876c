"""Let time pass for the jobs of a test."""

from datetime import timedelta

from django.core import mail

from ..engine.link import CallersLink, jobs_alias
from ..errors import JobsError


def time_travel(delta: timedelta | None = None, /, **units: float) -> None:
    """Let `delta`, or timedelta's `units` (`hours=1`), pass for every job: all their moments move into the past by it.

    What is due then runs at the next `run_jobs()`: scheduled jobs, retries; what expires has expired. The clock itself
    stands: `timezone.now()` says the same as before. Only under a test runner.
    """
    passed = (delta or timedelta()) + timedelta(**units)
    if passed <= timedelta():
        raise ValueError(f"Time goes forward only, but was to pass by {passed}: give a positive timedelta or hours=….")
    if not hasattr(mail, "outbox"):
        raise JobsError("time_travel() moves the times of all jobs: it works under a test runner only.")
    CallersLink(jobs_alias()).rows("time_travel", seconds=passed.total_seconds())
