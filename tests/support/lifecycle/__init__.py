"""Jobs, dispatchers, workers and operators doing anything in any order on a real database, beside a model of it.

`model` and `waiting` say what must be, `snapshot` what is; the rules are by room: producers, canvas, dispatchers,
workers, operators.
"""

from .machine import Lifecycle
from .stage import World, settings_of_test

__all__ = ["Lifecycle", "World", "settings_of_test"]
