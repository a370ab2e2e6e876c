"""What the command line's words mean. Raises ArgumentTypeError."""

import json
from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import Any


def json_of(kind: type[list] | type[dict]) -> Callable[[str], Any]:
    """A parser of JSON that holds a list, or an object."""
    expected = 'array, as [1, "two"]' if kind is list else 'object, as {"name": 1}'

    def parse(text: str) -> Any:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ArgumentTypeError(f"{text[:80]!r} is no JSON: {error}; expected an {expected}") from error
        if not isinstance(value, kind):
            raise ArgumentTypeError(f"{text[:80]!r} is no JSON {expected}")
        return value

    return parse


def priority_of(text: str) -> int | str:
    """A number, or a name that the engine knows or refuses."""
    return int(text) if text.lstrip("+-").isdigit() else text


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise ArgumentTypeError(f"{text!r} is no number of seconds")
    return value
