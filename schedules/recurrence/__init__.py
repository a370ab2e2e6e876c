"""When a schedule is due: pure values, no database and no clock of their own.

Cron is read in the wall clock of its zone. Where this skips ahead, what it skips is due once, at the first instant
after the gap; where it is set back, each wall-clock time is due once, at its first occurrence. `Every` counts seconds
and knows no wall clock.
"""

from .cron import Cron
from .fixed import Every, Once
from .series import Recurrence, occurrences
from .solar import Solar
from .text import parse
from .transitions import transition_at

__all__ = ["Cron", "Every", "Once", "Recurrence", "Solar", "occurrences", "parse", "transition_at"]
