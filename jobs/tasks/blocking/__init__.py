"""Which domains block or fail: `record` counts fetches, `rates` thinks, `store` knows the table, tasks join them."""

from .check import check
from .cleanup import cleanup
from .rates import Outcome, outcome_of
from .record import record_fetch

__all__ = ["Outcome", "check", "cleanup", "outcome_of", "record_fetch"]
