"""What the command line's words mean. Raises ArgumentTypeError."""

import json
import re
from argparse import ArgumentTypeError
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone


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


SPAN = re.compile(r"(\d{1,9})([smhd])")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment_of(text: str) -> datetime | timedelta:
    """A moment in ISO 8601 (without a zone, the site's), or a span from now: 90s, 30m, 2h, 7d."""
    if span := SPAN.fullmatch(text):
        return timedelta(**{UNITS[span[2]]: int(span[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text[:80]!r} is no moment, as 2026-01-31T12:00, and no span, as 30m") from error
    return moment if moment.tzinfo else timezone.make_aware(moment)


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise ArgumentTypeError(f"{text!r} is no number of seconds")
    return value
