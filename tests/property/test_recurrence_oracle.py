"""Every change of every zone's clock in two years, against a walk over every minute around it."""

from bisect import bisect_right
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from schedules.recurrence import Cron, cron, occurrences, parse, walls
from tests.support.breaking import Twin, must_fail
from tests.support.walking import Window, due, steps, utc, windows

START, STOP = utc(2026, 1, 1), utc(2028, 1, 1)

# The predicates are written apart from the texts on purpose: nothing of what they test reads them.
SHAPES: dict[str, Callable[[datetime], bool]] = {
    "* * * * *": lambda wall: True,
    "*/5 * * * *": lambda wall: wall.minute % 5 == 0,
    "0 * * * *": lambda wall: wall.minute == 0,
    "30 2 * * *": lambda wall: (wall.hour, wall.minute) == (2, 30),
    "0 0 * * *": lambda wall: (wall.hour, wall.minute) == (0, 0),
    "59 23 * * *": lambda wall: (wall.hour, wall.minute) == (23, 59),
    "15,45 1-3 * * *": lambda wall: wall.minute in (15, 45) and 1 <= wall.hour <= 3,
    "0 3 * * 7": lambda wall: (wall.hour, wall.minute) == (3, 0) and wall.weekday() == 6,
    "10 2 25-31 3,9 *": lambda wall: (wall.hour, wall.minute) == (2, 10) and wall.day >= 25 and wall.month in (3, 9),
    "30 23-5/2 1-14 * sat,sun": lambda wall: (
        wall.minute == 30 and wall.hour in (23, 1, 3, 5) and wall.day <= 14 and wall.weekday() >= 5
    ),
}


def agrees(window: Window, shapes: dict[str, Callable[[datetime], bool]]) -> None:
    walked = steps(window.zone, window.start, window.stop)
    for text, matches in shapes.items():
        expected = due(walked, matches)
        recurrence = parse(text, zone=window.zone, now=window.start)
        found = occurrences(recurrence, after=window.start, until=window.stop, limit=len(expected) + 1)
        is_same = found == expected  # a comparison in the assertion would be explained line by line, for minutes
        assert is_same, f"{text!r} in {window}"
        # From anywhere, not only from one due time to the next: within gaps, in the hour that comes again.
        for moment, _ in walked[::37]:
            asked = moment + timedelta(seconds=29.5)
            later = bisect_right(expected, asked)
            if later < len(expected):
                assert recurrence.after(asked) == expected[later], f"{text!r} after {asked} in {window}"


def test_a_walk_over_every_minute_around_every_change_of_a_clock_finds_the_same_due_times() -> None:
    """All zones; those whose clocks do the same around a change stand for each other (`windows` has their names)."""
    found = windows(START, STOP)
    assert sum(len(window.names) for window in found) > 900, "changes of clocks, and zones that have none"
    for window in found:
        agrees(window, SHAPES)


BERLIN = [
    Window(ZoneInfo("Europe/Berlin"), utc(2026, 3, 28), utc(2026, 3, 30), ["Europe/Berlin"]),
    Window(ZoneInfo("Europe/Berlin"), utc(2026, 10, 24), utc(2026, 10, 26), ["Europe/Berlin"]),
]


def a_gap_and_an_overlap_are_as_walked() -> None:
    for window in BERLIN:
        agrees(window, SHAPES)


@pytest.mark.parametrize(
    "twin",
    [
        Twin((walls, "instant_of"), "shown(zone, due) == wall", "True"),
        Twin((walls, "instant_of"), "shown(zone, instant) >= wall", "True"),
        Twin((walls, "latest"), "not local.fold", "True"),
        Twin((walls, "latest"), " - datetime.resolution", ""),
        Twin((walls, "unseen"), " + MINUTE", ""),
        Twin((cron, "first_day"), "day.isoweekday() % 7 in weekdays", "True"),
        Twin((cron, "first_day"), "month in months", "True"),
        Twin((Cron, "_time_from"), "start.hour in hours", "True"),
        Twin((Cron, "_time_from"), "start.minute <= minutes[-1]", "start.minute < minutes[-1]"),
    ],
    ids=str,
)
def test_without_its_guard_it_is_not(twin: Twin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    a_gap_and_an_overlap_are_as_walked()
    twin.apply(monkeypatch, tmp_path)
    must_fail(a_gap_and_an_overlap_are_as_walked)
