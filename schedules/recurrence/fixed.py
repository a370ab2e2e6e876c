"""Due without a wall clock: every so many seconds, or once."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ..errors import InvalidSchedule

CENTURY = 36_525 * 86_400
"""Seconds."""

UNITS = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))


@dataclass(frozen=True, slots=True)
class Every:
    """Due `seconds` after the anchor, and so many after that, for ever; a clock that is put forward or back is nothing
    to it. Raises InvalidSchedule."""

    seconds: int
    anchor: datetime

    def __post_init__(self) -> None:
        if not 1 <= self.seconds <= CENTURY:
            raise InvalidSchedule(f"Invalid interval of {self.seconds} s. Expected 1 second to a hundred years.")
        refuse_naive("anchor", self.anchor)

    def after(self, moment: datetime) -> datetime | None:
        """First due time strictly after `moment`, aware UTC; None: beyond the years that Python knows."""
        anchor, step = self.anchor.astimezone(UTC), timedelta(seconds=self.seconds)
        try:
            return anchor + (max(0, (moment - anchor) // step) + 1) * step
        except OverflowError:
            return None

    def describe(self) -> str:
        left, parts = self.seconds, []
        for unit, size in UNITS:
            count, left = divmod(left, size)
            if count:
                parts.append(f"{count} {unit}{'s' if count > 1 else ''}")
        return f"Every {' '.join(parts)}" if len(parts) > 1 else f"Every {parts[0].removeprefix('1 ')}"


@dataclass(frozen=True, slots=True)
class Once:
    """Due at one moment. Raises InvalidSchedule."""

    at: datetime

    def __post_init__(self) -> None:
        refuse_naive("moment", self.at)

    def after(self, moment: datetime) -> datetime | None:
        """The moment, as aware UTC, while it is ahead; None: it is over."""
        at = self.at.astimezone(UTC)
        return at if at > moment else None

    def describe(self) -> str:
        return (
            f"Once, at {self.at.replace(tzinfo=None).isoformat(' ', 'seconds').removesuffix(':00')} ({self.at.tzinfo})"
        )


def refuse_naive(what: str, moment: datetime) -> None:
    if moment.utcoffset() is None:
        raise InvalidSchedule(f"Invalid {what} {moment.isoformat()}: it has no timezone. Give it one.")
