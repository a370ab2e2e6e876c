"""What an unknown word may have been meant to be."""

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """The near miss, and everything that is known."""
    names = sorted(known)
    near = difflib.get_close_matches(word[:40], names, n=1)
    return (f"Did you mean {near[0]!r}? " if near else "") + f"Known: {', '.join(names)}."
