"""Waiting for something to become true, with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(true: Callable[[], T], *, within: float = 30.0, what: str = "") -> T:
    """Ask again and again until the answer is truthy; returns it. Fails after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        answer = true()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {what or true}")
        time.sleep(0.02)
