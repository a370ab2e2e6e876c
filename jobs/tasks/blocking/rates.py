"""What fetches amount to: no network, no database, no clock."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

BLOCKING = frozenset({403, 429, 451})
"""Statuses by which a server refuses a client that it does not want; 401 and 407 ask for credentials."""
NOT_MODIFIED = 304


class Outcome(StrEnum):
    """What came of a fetch."""

    SUCCEEDED = "succeeded"
    BLOCKED = "blocked"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """The fetches of one domain in the window."""

    domain: str
    succeeded: int
    blocked: int
    failed: int

    @property
    def fetches(self) -> int:
        return self.succeeded + self.blocked + self.failed

    @property
    def success(self) -> float:
        return self.succeeded / self.fetches

    def is_below(self, threshold: float, *, min_fetches: int) -> bool:
        return self.fetches >= min_fetches and self.success < threshold


def outcome_of(status: int | None) -> Outcome:
    """What an HTTP status says of a fetch; None is no answer."""
    if status in BLOCKING:
        return Outcome.BLOCKED
    if status is not None and (200 <= status < 300 or status == NOT_MODIFIED):
        return Outcome.SUCCEEDED
    return Outcome.FAILED


def advice(rates: Rates) -> str:
    """What to do about a domain that is below the threshold."""
    if rates.blocked >= rates.failed:
        return "it refuses this client: fetch it less often, ask its owner for access, or disable its schedules"
    return "it does not answer as it should: open one of its addresses, correct or disable its schedules"


def hour_of(moment: datetime) -> datetime:
    """The first moment of its hour in UTC, which not every time zone's hours begin with."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def window(now: datetime, hours: int) -> tuple[datetime, datetime]:
    """The first and the last hour that a check looks at: so many before the running one, and that one."""
    running = hour_of(now)
    return running - timedelta(hours=hours), running
