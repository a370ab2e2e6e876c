"""Reading RSS and Atom feeds: `fetch` talks to the network, `parse` thinks, `store` writes, `check` joins them."""

from .check import check
from .errors import FeedError

__all__ = ["FeedError", "check"]
