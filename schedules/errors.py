"""What schedules raise to their callers; each message says what happened and what to do."""

from jobs.errors import JobsError


class InvalidSchedule(JobsError, ValueError):
    """A schedule that can't be, or would never be due; its text quotes the value and says what is expected."""
