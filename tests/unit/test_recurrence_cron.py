"""Crons around gaps, overlaps, month ends and the end of time."""

from datetime import datetime, timedelta
from time import perf_counter
from zoneinfo import ZoneInfo

import pytest

from schedules.errors import InvalidSchedule
from schedules.recurrence import Cron, Every, occurrences, parse, transition_at
from tests.support.walking import utc, walls


def due(text: str, zone: str, after: datetime, limit: int = 3) -> list[str]:
    recurrence = parse(text, zone=ZoneInfo(zone), now=after)
    return walls(ZoneInfo(zone), occurrences(recurrence, after=after, limit=limit))


def test_what_a_gap_skips_is_due_once_at_its_end() -> None:
    assert due("0,15,30 2 * * *", "Europe/Berlin", utc(2026, 3, 28, 12), 2) == [
        "2026-03-29 03:00+0200",
        "2026-03-30 02:00+0200",
    ]


def test_what_is_due_at_the_end_of_a_gap_anyway_is_due_once() -> None:
    assert due("30 2,3 * * *", "Europe/Berlin", utc(2026, 3, 28, 12), 2) == [
        "2026-03-29 03:00+0200",
        "2026-03-29 03:30+0200",
    ]
    assert due("0 * * * *", "Europe/Berlin", utc(2026, 3, 29, 0, 30), 2) == [
        "2026-03-29 03:00+0200",
        "2026-03-29 04:00+0200",
    ]


def test_what_the_clock_shows_twice_is_due_the_first_time() -> None:
    assert due("30 2 * * *", "Europe/Berlin", utc(2026, 10, 24, 12), 2) == [
        "2026-10-25 02:30+0200",
        "2026-10-26 02:30+0100",
    ]


def test_steps_of_minutes_rest_while_an_hour_comes_again_and_an_interval_does_not() -> None:
    assert due("*/30 * * * *", "Europe/Berlin", utc(2026, 10, 25, 0), 3) == [
        "2026-10-25 02:30+0200",
        "2026-10-25 03:00+0100",
        "2026-10-25 03:30+0100",
    ]
    assert due("@every 30m", "Europe/Berlin", utc(2026, 10, 25, 0), 3) == [
        "2026-10-25 02:30+0200",
        "2026-10-25 02:00+0100",
        "2026-10-25 02:30+0100",
    ]


def test_lord_howe_moves_its_clock_by_half_an_hour() -> None:
    assert due("15 2 * * *", "Australia/Lord_Howe", utc(2026, 10, 3, 12), 2) == [
        "2026-10-04 02:30+1100",
        "2026-10-05 02:15+1100",
    ]
    assert due("45 1 * * *", "Australia/Lord_Howe", utc(2026, 4, 4, 0), 2) == [
        "2026-04-05 01:45+1100",
        "2026-04-06 01:45+1030",
    ]


def test_the_day_that_apia_skipped_is_due_at_the_first_instant_of_the_next() -> None:
    assert due("0 2 * * *", "Pacific/Apia", utc(2011, 12, 29, 0), 3) == [
        "2011-12-29 02:00-1000",
        "2011-12-31 00:00+1400",
        "2011-12-31 02:00+1400",
    ]
    assert due("0 9 30 12 *", "Pacific/Apia", utc(2011, 1, 1), 2) == ["2011-12-31 00:00+1400", "2012-12-30 09:00+1400"]


def test_midnight_that_a_gap_skips_is_due_at_one() -> None:
    assert due("0 0 * * *", "Africa/Cairo", utc(2026, 4, 23, 12), 1) == ["2026-04-24 01:00+0300"]


def test_the_end_of_months_and_of_the_year() -> None:
    assert due("0 0 31 * *", "UTC", utc(2026, 1, 31), 2) == ["2026-03-31 00:00+0000", "2026-05-31 00:00+0000"]
    assert due("59 23 31 12 *", "UTC", utc(2026, 12, 31, 23, 59), 1) == ["2027-12-31 23:59+0000"]
    assert due("0 0 1 1 *", "Asia/Tokyo", utc(2026, 12, 31, 14, 59, 59), 1) == ["2027-01-01 00:00+0900"]


def test_the_29th_of_february_is_waited_for() -> None:
    assert due("0 0 29 2 *", "UTC", utc(2026, 1, 1), 2) == ["2028-02-29 00:00+0000", "2032-02-29 00:00+0000"]
    assert due("0 0 29 2 *", "UTC", utc(2096, 3, 1), 1) == ["2104-02-29 00:00+0000"]
    assert due("0 0 29 2 mon", "UTC", utc(2072, 3, 1), 1) == ["2112-02-29 00:00+0000"]


def test_a_day_of_the_month_and_a_day_of_the_week_must_both_match() -> None:
    assert due("0 0 13 * fri", "UTC", utc(2026, 1, 1), 3) == [
        "2026-02-13 00:00+0000",
        "2026-03-13 00:00+0000",
        "2026-11-13 00:00+0000",
    ]


@pytest.mark.parametrize(
    ("day", "month", "last"), [("30", "2", 29), ("31", "4", 30), ("31", "2,4,6,9,11", 30), ("30-31", "feb", 29)]
)
def test_a_cron_that_is_never_due_is_refused(day: str, month: str, last: int) -> None:
    with pytest.raises(InvalidSchedule) as refusal:
        Cron("0", "0", "*", day, month, ZoneInfo("UTC"))
    assert str(refusal.value) == (
        f"Never due: day_of_month {day!r} does not occur in month_of_year {month!r}, whose days end at {last}. "
        f"Give a day up to {last}, or another month."
    )


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12"])
def test_after_the_year_9999_nothing_is_due(zone: str) -> None:
    moment = utc(9999, 12, 31, 12)
    for recurrence in (Cron("0", "8", "*", "1", "1", ZoneInfo(zone)), Every(86_400, utc(2026, 1, 1))):
        assert recurrence.after(moment) is None
    minutely = Cron("*", "*", "*", "*", "*", ZoneInfo(zone))
    assert minutely.after(utc(9999, 12, 31, 23, 59, 59)) is None
    assert occurrences(minutely, after=moment, limit=2000)[:1] == (
        [moment + timedelta(minutes=1)] if zone != "Pacific/Kiritimati" else []
    )


def test_due_times_end_with_the_limit_or_with_the_last_moment_asked_for() -> None:
    hourly = parse("@hourly", zone=ZoneInfo("UTC"), now=utc(2026, 1, 1))
    start = utc(2026, 1, 1)
    assert occurrences(hourly, after=start, until=utc(2026, 1, 1, 2), limit=9) == [
        utc(2026, 1, 1, 1),
        utc(2026, 1, 1, 2),
    ]
    assert len(occurrences(hourly, after=start, until=utc(2027, 1, 1), limit=9)) == 9
    assert occurrences(hourly, after=start, limit=0) == []


def test_a_due_time_says_how_its_clock_changes() -> None:
    zone = ZoneInfo("Europe/Berlin")
    assert transition_at(zone, utc(2026, 3, 29, 1)) == "gap"
    assert transition_at(zone, utc(2026, 3, 29, 1, 1)) is None
    assert transition_at(zone, utc(2026, 3, 29, 0, 59)) is None
    assert transition_at(zone, utc(2026, 10, 25, 0, 30)) == "overlap"
    assert transition_at(zone, utc(2026, 10, 25, 1, 30)) == "overlap"
    assert transition_at(zone, utc(2026, 10, 25, 2, 0)) is None
    assert transition_at(ZoneInfo("Pacific/Apia"), utc(2011, 12, 30, 10)) == "gap"


def test_a_cron_that_names_no_time_in_a_gap_does_not_meet_it() -> None:
    zone, end = ZoneInfo("Europe/Berlin"), utc(2026, 3, 29, 1)
    for text, met in (("0 3 * * *", None), ("30 2 * * *", "gap"), ("0 * * * *", "gap"), ("0 2 * * mon", None)):
        cron = parse(text, zone=zone, now=end)
        assert isinstance(cron, Cron)
        assert transition_at(zone, end, cron=cron) == met, text


@pytest.mark.parametrize(
    ("text", "most"), [("*/5 * * * *", 1e-4), ("0 2 * * mon-fri", 1e-4), ("0 0 31 12 *", 1e-4), ("0 0 29 2 mon", 2e-2)]
)
def test_the_next_due_time_is_found_without_a_walk_over_minutes(text: str, most: float) -> None:
    recurrence = parse(text, zone=ZoneInfo("Europe/Berlin"), now=utc(2026, 1, 1))
    moments = [utc(2072, 3, 1) + timedelta(hours=31 * n) for n in range(200)]
    quickest = min(seconds_for(recurrence, moments) for _ in range(5))
    assert quickest / len(moments) < most


def seconds_for(recurrence: object, moments: list[datetime]) -> float:
    start = perf_counter()
    for moment in moments:
        recurrence.after(moment)  # type: ignore[attr-defined]
    return perf_counter() - start
