"""The settings of the blocking monitor."""

from dataclasses import dataclass
from functools import cache

from ...conf import forget_on_change, read

LONGEST = 36_500
"""Days."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockingSettings:
    window_hours: int = 24
    """Hours before the running one whose fetches a check looks at, beside those of the running one."""
    threshold: float = 0.8
    """Share of fetches that must succeed; a domain below it is named."""
    min_fetches: int = 5
    """Fetches in the window from which on a domain is judged."""
    days: int = 30
    """Days after which counts are deleted; 0 keeps them for ever."""

    def problems(self) -> list[str]:
        found = []
        if not 0 <= self.threshold <= 1:
            found.append(f"BLOCKING_THRESHOLD is {self.threshold}; expected 0 to 1, a share of the fetches.")
        if not 1 <= self.min_fetches < 2**31:
            found.append(f"BLOCKING_MIN_FETCHES is {self.min_fetches}; expected at least 1.")
        if not 0 <= self.days <= LONGEST:
            found.append(f"BLOCKING_DAYS is {self.days}; expected 0 to {LONGEST:,}.")
        if not 1 <= self.window_hours <= 24 * (self.days or LONGEST):
            found.append(
                f"BLOCKING_WINDOW_HOURS is {self.window_hours}; expected at least 1 and at most the "
                f"{self.days or LONGEST} days that counts are kept."
            )
        return found


@cache
def blocking_settings() -> BlockingSettings:
    return read(BlockingSettings, "BLOCKING_")


forget_on_change("BLOCKING_", blocking_settings.cache_clear)
