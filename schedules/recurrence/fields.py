"""The five fields of a cron: what each may hold, which numbers it means, and how a wrong one is refused."""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from celery.schedules import ParseException, crontab_parser

from ..errors import InvalidSchedule


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()
    """Words for the numbers from `least` on."""

    @property
    def size(self) -> int:
        return self.most - self.least + 1


MINUTE = Field("minute", 0, 59)
HOUR = Field("hour", 0, 23)
DAY_OF_MONTH = Field("day_of_month", 1, 31)
MONTH_OF_YEAR = Field(
    "month_of_year", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
)
DAY_OF_WEEK = Field("day_of_week", 0, 6, ("sun", "mon", "tue", "wed", "thu", "fri", "sat"))

FIELDS = (MINUTE, HOUR, DAY_OF_MONTH, MONTH_OF_YEAR, DAY_OF_WEEK)
"""In the order of a crontab's line."""


def expand(field: Field, text: str) -> tuple[int, ...]:
    """The numbers that a field means, ascending: as Celery reads it, and 7 is Sunday too. Raises InvalidSchedule."""
    numbers: set[int] = set()
    for part in text.split(","):
        found = _numbers(field, part)
        if found is None:
            raise InvalidSchedule(_refusal(field, text, part))
        numbers |= found
    return tuple(sorted(numbers))


def _numbers(field: Field, part: str) -> set[int] | None:
    found = _as_celery(part, field.size, field.least)
    if found is None and field is DAY_OF_WEEK:
        return _with_seven(part)
    return found


def _as_celery(part: str, size: int, least: int) -> set[int] | None:
    try:
        return set(crontab_parser(size, least).parse(part))
    except (ParseException, ValueError):
        return None


def _with_seven(part: str) -> set[int] | None:
    """A week of eight days, the last of which is Sunday again; a range that begins with it begins with the first."""
    if part.startswith("7-") and not part.startswith("7-7"):
        part = "0" + part[1:]
    found = _as_celery(part, 8, 0)
    return None if found is None else {number % 7 for number in found}


def _refusal(field: Field, text: str, part: str) -> str:
    words = f", {field.names[0]} to {field.names[-1]}" if field.names else ""
    within = "" if part == text else f" in {text[:80]!r}"
    near = next((near for near in _near(field, part) if _numbers(field, near)), None)
    hint = f" Did you mean {near!r}?" if near else ""
    return (
        f"Invalid {field.name} {part[:80]!r}{within}.{hint} Expected {field.least} to {field.most}{words}: one of "
        "them, * for all, a range as 2-6, steps as */2 or 2-6/2, or several of these with commas between."
    )


def _near(field: Field, part: str) -> Iterator[str]:
    """What may have been meant: other crons' notations, one beyond the end, a word mistyped."""
    part = part.strip()[:80]
    yield part.replace(" ", "")
    yield part.replace("?", "*")
    yield re.sub(r"^\*(\d+)$", r"*/\1", part)
    yield re.sub(r"^(\d+)/(\d+)$", rf"\1-{field.most}/\2", part)
    yield re.sub(rf"^{field.most + 1}$", str(field.least), part)
    yield re.sub(rf"^{field.least - 1}$", str(field.least), part)
    yield re.sub(r"[a-zA-Z]+", lambda word: _nearest(field, word[0]), part)


def _nearest(field: Field, word: str) -> str:
    word = word.lower()
    turned = [name for name in field.names if sorted(name) == sorted(word)]
    return next(iter(turned or difflib.get_close_matches(word[:3], field.names, n=1)), word)
