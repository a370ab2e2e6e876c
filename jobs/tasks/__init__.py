"""The built-in tasks; importing this package registers them."""

from . import blocking, feeds, tempfiles

__all__ = ["blocking", "feeds", "tempfiles"]
