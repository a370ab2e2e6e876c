"""What a query's moments, spans and numbers mean, and what lies between two of them. Pure."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Any

SPAN = re.compile(r"(-?)(\d{1,9}(?:\.\d{1,6})?)(ms|[smhdw])")
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
CENTURY = 36_525 * 86_400
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
LOOKS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
INTEGER = 2**31 - 1

Reader = Callable[[str], Any]


def between(compared: str, text: str, read: Reader, *, step: Reader | None = None) -> dict[str, Any]:
    """The bounds that `>x`, `x..y` or `x` set, by Django's lookups. Raises ValueError, which says what is expected.

    Of `x..y` either end may be left out. `step` tells where the stretch ends that begins at x, if x alone is meant
    as one, as a day is; else `x` means equal to it.
    """
    if compared:
        return {LOOKS[compared]: read(text)}
    first, dots, last = text.partition("..")
    if dots:
        if not (first or last):
            raise ValueError("one end of .. must be given")
        ends = {"gte": first and read(first), "lte": last and read(last)}
        if last and step and (end := step(last)):
            ends = {"gte": ends["gte"], "lt": end}
        return {look: end for look, end in ends.items() if end != ""}
    end = step(text) if step else None
    return {"gte": read(text), "lt": end} if end else {"exact": read(text)}


def moment(now: datetime) -> Reader:
    """A reader of moments: ISO 8601, UTC unless it says otherwise, or a span from now: -24h, -30m, -7d."""

    def read(text: str) -> datetime:
        try:
            if SPAN.fullmatch(text):
                return now + timedelta(seconds=seconds(text))
            found = datetime.fromisoformat(text)
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{text[:40]!r} is no moment, as 2026-01-31, 2026-01-31T12:00Z or -24h") from error

    return read


def duration(text: str) -> timedelta:
    return timedelta(seconds=seconds(text))


def end_of_day(text: str) -> datetime | None:
    """Where the day ends that the text names; None if it names none."""
    if not DAY.fullmatch(text):
        return None
    try:
        return datetime.combine(datetime.fromisoformat(text) + timedelta(days=1), time(), UTC)
    except (ValueError, OverflowError):
        return None


def seconds(text: str) -> float:
    """A span in seconds: 500ms, 30s, 5m, 2h, 1d, 1w."""
    if not (found := SPAN.fullmatch(text)):
        raise ValueError(f"{text[:40]!r} is no span, as 500ms, 30s, 5m, 2h, 1d")
    value = float(found[1] + found[2]) * SECONDS[found[3]]
    if abs(value) > CENTURY:
        raise ValueError(f"{text[:40]!r} is longer than a hundred years")
    return value


def whole(text: str) -> int:
    if not re.fullmatch(r"[+-]?\d{1,10}", text) or abs(int(text)) > INTEGER:
        raise ValueError(f"{text[:40]!r} is no whole number, as 3, >3 or 1..5")
    return int(text)
