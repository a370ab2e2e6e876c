"""Old temporary files leave: `opening` and `in_use` ask the system, `sweep` walks and removes, `cleanup` joins."""

from .cleanup import cleanup
from .folder import temporary_folder

__all__ = ["cleanup", "temporary_folder"]
