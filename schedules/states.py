"""The closed sets of a schedule's words."""

from enum import StrEnum


class Overlap(StrEnum):
    """What becomes of a due time while a job of the schedule is not over."""

    ALLOW = "allow"  # both run
    SKIP = "skip"
    QUEUE_ONE = "queue_one"  # at most one waits and runs after it
    CANCEL_RUNNING = "cancel_running"  # the running one is cancelled


class Misfire(StrEnum):
    """What becomes of due times that were found later than the window allows."""

    SKIP = "skip"
    RUN_ONCE = "run_once"  # one run for all of them
    RUN_ALL = "run_all"  # the latest ones, up to the cap


class Kind(StrEnum):
    """Why an occurrence is there."""

    SCHEDULE = "schedule"
    MANUAL = "manual"
    BACKFILL = "backfill"


class Decided(StrEnum):
    """What was decided of an occurrence."""

    FIRED = "fired"
    SKIPPED = "skipped"
    MISSED = "missed"
    WAITING = "waiting"  # for the running one to end


class Owner(StrEnum):
    """Who keeps a schedule; empty: people, in the admin or over the API."""

    CODE = "code"
