"""Properties of recurrences: they agree with Celery about fields, and go on in time."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from celery.schedules import ParseException, crontab_parser
from hypothesis import assume, example, given
from hypothesis import strategies as st

from schedules.errors import InvalidSchedule
from schedules.recurrence import Cron, Every, occurrences
from schedules.recurrence.days import LONGEST
from schedules.recurrence.fields import DAY_OF_MONTH, DAY_OF_WEEK, FIELDS, MONTH_OF_YEAR, Field, expand
from tests.support.walking import utc

numbers = st.integers(-1, 62).map(str)
words = st.sampled_from(["mon", "SUN", "friday", "jan", "december", "mno", "L", "?", "", " 5", "5 ", "+5", "1_0", "٣"])
atoms = st.one_of(numbers, words, st.just("*"))
parts = st.one_of(
    atoms,
    st.tuples(atoms, atoms).map("-".join),
    st.tuples(atoms, numbers).map("/".join),
    st.tuples(atoms, atoms, numbers).map(lambda found: f"{found[0]}-{found[1]}/{found[2]}"),
    st.text("*/-,0123456789munfri ", max_size=8),
)
texts = st.lists(parts, min_size=1, max_size=3).map(",".join)
fields = st.sampled_from(FIELDS)


@given(fields, texts)
@example(DAY_OF_WEEK, "sat-sun/2")
@example(FIELDS[0], "*/5-8")
@example(FIELDS[0], "9" * 5000)
@example(FIELDS[0], "*/" + "9" * 30)
def test_a_field_means_what_celery_reads_in_it(field: Field, text: str) -> None:
    expected, found = as_celery(field, text), read(field, text)
    if isinstance(found, InvalidSchedule):
        assert expected is None
        assert f"Invalid {field.name}" in str(found)
        assert len(str(found)) < 500
    elif expected is None:
        assert field is DAY_OF_WEEK
        assert "7" in text
    else:
        assert found == expected


def as_celery(field: Field, text: str) -> list[int] | None:
    try:
        return sorted(crontab_parser(field.size, field.least).parse(text))
    except (ParseException, ValueError):
        return None


def read(field: Field, text: str) -> list[int] | InvalidSchedule:
    try:
        return list(expand(field, text))
    except InvalidSchedule as refusal:
        return refusal


days = st.integers(0, 7)


@given(days, days, st.integers(1, 8))
def test_sunday_is_the_day_before_monday_and_the_day_after_saturday(first: int, last: int, step: int) -> None:
    """7 at the beginning of a range is 0; at its end it is the day after 6."""
    first %= 7
    walk = [day % 7 for day in range(first, last + 1 if last >= first else last + 8)][::step]
    assert set(expand(DAY_OF_WEEK, f"{first}-{last}/{step}")) == set(walk)


zones = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kolkata"]
)
moments = st.integers(0, 7_258_118_400).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


def drawn(field: Field) -> st.SearchStrategy[str]:
    some = st.integers(field.least, field.most)
    return st.one_of(st.just("*"), st.lists(some, min_size=1, max_size=8).map(lambda found: ",".join(map(str, found))))


lines = st.tuples(*map(drawn, FIELDS))


def cron_of(line: tuple[str, ...], zone: str) -> Cron:
    minute, hour, day_of_month, month_of_year, day_of_week = line
    longest = max(LONGEST[month] for month in expand(MONTH_OF_YEAR, month_of_year))
    assume(expand(DAY_OF_MONTH, day_of_month)[0] <= longest)
    return Cron(minute, hour, day_of_week, day_of_month, month_of_year, ZoneInfo(zone))


@given(lines, zones, moments)
def test_due_times_go_on_and_are_the_same_from_any_moment_between_them(line, zone: str, moment: datetime) -> None:
    cron = cron_of(line, zone)
    first, second = occurrences(cron, after=moment, limit=2)
    assert moment < first < second
    assert cron.after(first - timedelta(microseconds=1)) == first
    assert cron.after(first + (second - first) / 2) == second
    assert cron.after(moment.astimezone(ZoneInfo("Asia/Tokyo"))) == first
    assert first.tzinfo is UTC


@given(lines, zones)
def test_every_cron_is_put_in_words(line, zone: str) -> None:
    said = cron_of(line, zone).describe()
    assert said.endswith(f" ({zone})")
    assert re.match(r"(At|Every|Minutes) ", said), said
    assert ("both must match" in said) == (line[2] != "*" != line[4] and not whole(line))


def whole(line: tuple[str, ...]) -> bool:
    """Whether a list happens to have every day of the week; eight numbers are no whole month."""
    return len(set(line[4].split(","))) == 7


@given(st.integers(1, 10**7), moments, moments)
def test_an_interval_is_due_at_whole_steps_from_its_anchor(seconds: int, anchor: datetime, moment: datetime) -> None:
    due = Every(seconds, anchor).after(moment)
    assert due is not None
    assert (due - anchor) % timedelta(seconds=seconds) == timedelta(0)
    assert due > max(moment, anchor)
    assert due - timedelta(seconds=seconds) <= max(moment, anchor)


@pytest.mark.parametrize("recurrence", [Cron("*", "*", "*", "*", "*", ZoneInfo("UTC")), Every(1, utc(2026, 1, 1))])
def test_a_moment_without_a_zone_is_refused(recurrence: Cron | Every) -> None:
    with pytest.raises(TypeError):
        recurrence.after(datetime(2026, 1, 1))  # noqa: DTZ001
