"""Somebody else at work in a folder while it is cleaned: something is done between two system calls of the sweep."""

import os
from collections.abc import Callable
from typing import Any

import pytest


def before(monkeypatch: pytest.MonkeyPatch, call: str, name: str, do: Callable[[], Any], *, time: int = 1) -> None:
    """Do something once, just before the so manieth call of `os.<call>` about that name."""
    real, seen = getattr(os, call), 0

    def intruded(path: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal seen
        if path == name:
            seen += 1
            if seen == time:
                do()
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, call, intruded)
