"""A recurrence as people write it: a line of crontab, a nickname, an interval, a moment."""

import difflib
import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from ..errors import InvalidSchedule
from . import walls
from .cron import Cron
from .fields import FIELDS
from .fixed import Every, Once
from .series import Recurrence

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
SPAN = re.compile(r"(?:\d{1,12}[smhd])+")
SAID = re.compile(r"(\d{1,12})\s*(?:(s)(?:ec\w*)?|(m)(?:in\w*)?|(h)(?:(?:ou)?rs?)?|(d)(?:ays?)?)(?![a-z])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
EXPECTED = (
    "Expected five fields (minute hour day-of-month month day-of-week, as '0 2 * * mon-fri'), "
    f"{', '.join(NICKNAMES)}, '@every 30m' or '@at 2026-12-24T18:00'."
)


def parse(text: str, *, zone: ZoneInfo, now: datetime) -> Recurrence:
    """What a text asks for. Wall-clock times are of `zone`; an interval counts from `now`. Raises InvalidSchedule."""
    word, rest = [*text.split(maxsplit=1), "", ""][:2]
    match word.lower():
        case "@every":
            return Every(_seconds(rest.rstrip()), now)
        case "@at":
            return Once(_moment(rest.rstrip(), zone))
        case nickname if nickname in NICKNAMES and not rest:
            return _cron(NICKNAMES[nickname], zone)
        case nickname if nickname.startswith("@"):
            raise InvalidSchedule(f"Unknown schedule {text[:80]!r}.{_near_nickname(nickname)} {EXPECTED}")
    return _cron(text, zone)


def _cron(text: str, zone: ZoneInfo) -> Cron:
    fields = text.split()
    if len(fields) != len(FIELDS):
        raise InvalidSchedule(_miscounted(text, len(fields)))
    minute, hour, day_of_month, month_of_year, day_of_week = fields
    return Cron(minute, hour, day_of_week, day_of_month, month_of_year, zone)


def _miscounted(text: str, count: int) -> str:
    if count > len(FIELDS):
        hint = " There are no seconds and no years; for seconds use '@every 10s'."
    else:
        hint = _near_nickname(f"@{text.strip().lower()}")
    return f"Invalid schedule {text[:80]!r} of {count} field{'' if count == 1 else 's'}.{hint} {EXPECTED}"


def _near_nickname(word: str) -> str:
    near = difflib.get_close_matches(word, [*NICKNAMES, "@every", "@at"], n=1, cutoff=0.7)
    return f" Did you mean {near[0]!r}?" if near else ""


def _seconds(span: str) -> int:
    if SPAN.fullmatch(span.lower()):
        return sum(int(count) * SECONDS[unit] for count, unit in re.findall(r"(\d+)(\w)", span.lower()))
    said = "".join(count + "".join(units) for count, *units in SAID.findall(span.lower()))
    understood = SAID.sub("", span.lower()).replace("and", "").strip(" ,") == ""
    hint = f" Did you mean '@every {said}'?" if said and understood else ""
    raise InvalidSchedule(
        f"Invalid interval {span[:80]!r} of @every.{hint} "
        "Expected whole numbers of s, m, h or d, as '@every 90s', '@every 1h30m', '@every 7d'."
    )


def _moment(text: str, zone: ZoneInfo) -> datetime:
    """In the zone; a moment that gives no offset is of its wall clock."""
    try:
        moment = datetime.fromisoformat(text)
        instant = moment.astimezone(UTC) if moment.tzinfo else walls.instant_of(zone, moment)
        return instant.astimezone(zone)
    except (ValueError, OverflowError) as error:
        raise InvalidSchedule(
            f"Invalid moment {text[:80]!r} of @at. Expected one in ISO 8601, as '@at 2026-12-24T18:00' "
            f"(in {zone}) or '@at 2026-12-24T18:00+01:00'."
        ) from error
