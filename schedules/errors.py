"""What schedules raise to their callers; each message says what happened and what to do."""

from collections.abc import Mapping

from jobs.errors import JobsError


class InvalidSchedule(JobsError, ValueError):
    """A schedule that can't be, or would never be due; its text quotes the value and says what is expected."""


class InvalidFields(InvalidSchedule):
    """Fields that make no schedule, all of them at once: nothing was written."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        self.errors = dict(errors)
        """Messages by field; "" is the schedule as a whole."""
        super().__init__(" ".join(f"{field}: {text}" if field else text for field, text in self.errors.items()))


class ScheduleNotFound(JobsError, LookupError):
    def __init__(self, id_: object) -> None:
        super().__init__(f"There is no schedule {str(id_)[:80]!r}. It may have been deleted.")


class OwnedByCode(JobsError):
    """An edit of what code declares, or its deletion: nothing was changed."""

    def __init__(self, name: str, advice: str) -> None:
        super().__init__(f"The schedule {name!r} is declared in code, which keeps it as it is there. {advice}")
