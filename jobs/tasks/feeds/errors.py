"""What can go wrong with a feed, and how its address is named when it does."""

from urllib.parse import urlsplit, urlunsplit

UNREADABLE = "A feed URL that can't be read"


class FeedError(Exception):
    """A feed could not be read; the message names it, what happened, what was expected and what to do.

    `status` is what the server answered, where that was the reason.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def shown(url: str) -> str:
    """The URL without its user name and password, for messages, results and pages."""
    try:
        parts = urlsplit(url)
        # "http://ann:pass/word@host" reads as a host "ann" and a port "pass": no part of it is safe to repeat.
        readable = url.isprintable() and parts.port != 0
    except ValueError:
        readable = False
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if readable else UNREADABLE
