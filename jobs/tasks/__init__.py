"""The built-in tasks; importing this package registers them."""

from . import feeds

__all__ = ["feeds"]
