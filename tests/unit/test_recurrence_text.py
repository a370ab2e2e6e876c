"""What people write: how it is read, how it is put in words, and how it is refused."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from schedules.errors import InvalidSchedule
from schedules.recurrence import Cron, Every, Once, Recurrence, Solar, parse
from schedules.recurrence.solar import EVENTS, solar
from tests.support.walking import utc

BERLIN = ZoneInfo("Europe/Berlin")
NOW = utc(2026, 6, 1, 12)


def read(text: str) -> Recurrence:
    return parse(text, zone=BERLIN, now=NOW)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * sun"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        (" @Hourly ", "0 * * * *"),
        ("0 0 * * 7", "0 0 * * 0"),
        ("0 0 * * 5-7", "0 0 * * 0,5,6"),
        ("0 0 * * 7-2/2", "0 0 * * 0,2"),
        ("0 0 * * 7-7", "0 0 * * 0"),
        ("0 0 * * mon-fri", "0 0 * * 1-5"),
        ("0 0 1 jan,7 *", "0 0 1 1,7 *"),
        ("1-10/2 3 * * *", "1,3,5,7,9 3 * * *"),
        ("50-10/5 * * * *", "0,5,10,50,55 * * * *"),
        ("0\t2  * * *", "0 2 * * *"),
    ],
)
def test_two_ways_to_write_the_same(text: str, same: str) -> None:
    one, other = read(text), read(same)
    assert isinstance(one, Cron)
    assert one._numbers == other._numbers  # type: ignore[attr-defined]
    assert one.describe() == other.describe()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("7d", 604_800), ("1h30m", 5400), ("1H 30m", None), ("1d1s", 86_401)],
)
def test_an_interval_counts_from_now(text: str, seconds: int | None) -> None:
    if seconds is None:
        with pytest.raises(InvalidSchedule, match=r"Did you mean '@every 1h30m'\?"):
            read(f"@every {text}")
    else:
        assert read(f"@every {text}") == Every(seconds, NOW)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-12-24T18:00", utc(2026, 12, 24, 17)),
        ("2026-12-24 18:00:30", utc(2026, 12, 24, 17, 0, 30)),
        ("2026-12-24T18:00Z", utc(2026, 12, 24, 18)),
        ("2026-12-24T18:00-05:00", utc(2026, 12, 24, 23)),
        ("2027-03-28T02:30", utc(2027, 3, 28, 1)),
        ("2026-10-25T02:30", utc(2026, 10, 25, 0, 30)),
    ],
)
def test_a_moment_is_of_the_zone_unless_it_says_otherwise(text: str, at: datetime) -> None:
    once = read(f"@at {text}")
    assert isinstance(once, Once)
    assert once.after(NOW) == at
    assert once.after(at) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0 2 * * mon-fri", "At 02:00, Monday through Friday (Europe/Berlin)"),
        ("*/5 * * * *", "Every 5 minutes (Europe/Berlin)"),
        ("*/7 * * * *", "Every 7 minutes, minutes 0 through 56 past the hour (Europe/Berlin)"),
        ("*/20,5 * * * *", "At 0, 5, 20, and 40 minutes past the hour (Europe/Berlin)"),
        ("0 8-17 * * *", "Every hour, between 08:00 and 17:59 (Europe/Berlin)"),
        ("0 22-2 * * *", "Every hour, between 22:00 and 02:59 (Europe/Berlin)"),
        ("0 0-2,5 * * *", "At 00:00, 01:00, 02:00 and 05:00 (Europe/Berlin)"),
        ("0 0 * * fri-mon", "At 00:00, Friday through Monday (Europe/Berlin)"),
        ("0 0 * * */2", "At 00:00, only on Sunday, Tuesday, Thursday, and Saturday (Europe/Berlin)"),
        ("30 6 * jan-mar,9 *", "At 06:30, only in January through March and September (Europe/Berlin)"),
        ("0 0 13 * 5", "At 00:00, on day 13 of the month, only on Friday; both must match (Europe/Berlin)"),
        ("0 0 13 * sun-sat", "At 00:00, on day 13 of the month (Europe/Berlin)"),
        ("@every 1d", "Every day"),
        ("@every 90s", "Every 1 minute 30 seconds"),
        ("@every 10m", "Every 10 minutes"),
        ("@at 2026-12-24T18:00", "Once, at 2026-12-24 18:00 (Europe/Berlin)"),
    ],
)
def test_it_is_put_in_plain_words(text: str, said: str) -> None:
    assert read(text).describe() == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0 24 * * *", "Invalid hour '24'. Did you mean '0'? Expected 0 to 23: one of them, "),
        ("60,5 * * * *", "Invalid minute '60' in '60,5'. Did you mean '0'? Expected 0 to 59: "),
        ("0 0 0 * *", "Invalid day_of_month '0'. Did you mean '1'? Expected 1 to 31: "),
        ("0 0 ? * *", "Invalid day_of_month '?'. Did you mean '*'?"),
        ("0 0 L * *", "Invalid day_of_month 'L'. Expected"),
        ("5/10 * * * *", "Invalid minute '5/10'. Did you mean '5-59/10'?"),
        ("*5 * * * *", "Invalid minute '*5'. Did you mean '*/5'?"),
        ("*/0 * * * *", "Invalid minute '*/0'. Expected"),
        ("0 2 * * mno-fri", "Invalid day_of_week 'mno-fri'. Did you mean 'mon-fri'? Expected 0 to 6, sun to sat: "),
        ("0 2 * jna *", "Invalid month_of_year 'jna'. Did you mean 'jan'? Expected 1 to 12, jan to dec: "),
        ("0 2 * * 8", "Invalid day_of_week '8'. "),
        ("* * * *", "Invalid schedule '* * * *' of 4 fields. Expected five fields (minute hour day-of-month month "),
        ("0 * * * * *", "of 6 fields. There are no seconds and no years; for seconds use '@every 10s'. Expected"),
        ("hourly", "Invalid schedule 'hourly' of 1 field. Did you mean '@hourly'? Expected"),
        ("@houly", "Unknown schedule '@houly'. Did you mean '@hourly'? Expected"),
        ("@daily 5", "Unknown schedule '@daily 5'. Did you mean '@daily'? Expected"),
        ("@reboot", "Unknown schedule '@reboot'. Expected five fields"),
        ("", "Invalid schedule '' of 0 fields. Expected"),
        (
            "@every 5 minutes",
            "Invalid interval '5 minutes' of @every. Did you mean '@every 5m'? Expected whole numbers",
        ),
        ("@every 5 months", "Invalid interval '5 months' of @every. Expected"),
        ("@every 1.5h", "Invalid interval '1.5h' of @every. Expected"),
        ("@every", "Invalid interval '' of @every. Expected"),
        ("@every 0s", "Invalid interval of 0 s. Expected 1 second to a hundred years."),
        ("@every 999999999999d", "Expected 1 second to a hundred years."),
        (
            "@at soon",
            "Invalid moment 'soon' of @at. Expected one in ISO 8601, as '@at 2026-12-24T18:00' (in Europe/Berlin)",
        ),
        ("@at 9999-12-31T23:59-10:00", "Invalid moment '9999-12-31T23:59-10:00' of @at."),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(text: str, said: str) -> None:
    with pytest.raises(InvalidSchedule) as refusal:
        read(text)
    assert said in str(refusal.value)


def test_a_moment_and_an_anchor_need_a_zone() -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001
    with pytest.raises(InvalidSchedule, match=r"Invalid anchor 2026-01-01T00:00:00: it has no timezone"):
        Every(60, naive)
    with pytest.raises(InvalidSchedule, match=r"Invalid moment 2026-01-01T00:00:00: it has no timezone"):
        Once(naive)


def test_the_second_showing_of_a_time_is_ahead_of_the_first() -> None:
    """Two moments of one zone are compared by their instants, not by what its clock shows."""
    first, second = (datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=fold) for fold in (0, 1))
    assert Once(second).after(first) == utc(2026, 10, 25, 1, 30)
    assert Every(60, first).after(second) == utc(2026, 10, 25, 1, 31)


def test_a_solar_schedule_refuses_what_celery_would() -> None:
    assert set(EVENTS) == solar._all_events
    with pytest.raises(
        InvalidSchedule, match=r"Unknown event 'sunrize'\. Did you mean 'sunrise'\? Expected one of dawn_"
    ):
        Solar("sunrize", 0, 0)
    for place in ((91, 0), (float("nan"), 0), (0, -181)):
        with pytest.raises(InvalidSchedule, match=r"Invalid (latitude|longitude) .* Expected degrees, -(90|180) to "):
            Solar("sunrise", *place)


def test_a_solar_schedule_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ephem", None)
    with pytest.raises(InvalidSchedule, match=r"need the package ephem\. Install it .* pip install 'celery\[solar\]'"):
        Solar("sunrise", 52.5, 13.4)


def test_the_sun_rises_once_a_day_and_not_in_the_polar_night() -> None:
    pytest.importorskip("ephem", reason="solar schedules need ephem, which is not among the requirements")
    berlin = Solar("sunrise", 52.5, 13.4)
    first = berlin.after(utc(2026, 6, 21))
    assert first is not None
    assert utc(2026, 6, 21, 2, 40) < first < utc(2026, 6, 21, 2, 46)
    for near in (-1, 1):
        asked = first.replace(microsecond=0).timestamp() + near
        due = berlin.after(datetime.fromtimestamp(asked, tz=first.tzinfo))
        assert (due == first) == (near < 0)
    night = Solar("sunrise", 69.6, 18.9).after(utc(2026, 11, 30))
    assert night is not None
    assert utc(2027, 1, 10) < night < utc(2027, 1, 20)
    assert Solar("sunrise", 90, 0).after(utc(2026, 1, 1)) is None
