"""A recurrence as one text, to and fro: what `recurrence.parse` reads, and `@solar event latitude longitude`."""

from datetime import datetime
from zoneinfo import ZoneInfo

from .errors import InvalidSchedule
from .recurrence import Cron, Every, Once, Recurrence, Solar, parse

SOLAR = "@solar"
UNITS = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def read(text: str, *, zone: ZoneInfo, now: datetime) -> Recurrence:
    """What a text asks for, as `parse` does. Raises InvalidSchedule."""
    word, *rest = text.split()[:5] or [""]
    return _solar(text, rest) if word.lower() == SOLAR else parse(text, zone=zone, now=now)


def text_of(recurrence: Recurrence) -> str:
    """The text that `read` would understand so, in the zone of a cron; a moment brings its offset."""
    match recurrence:
        case Every():
            return f"@every {span(recurrence.seconds)}"
        case Once():
            at = recurrence.at
            return f"@at {at.isoformat(timespec='seconds' if at.second else 'minutes')}"
        case Solar():
            return f"{SOLAR} {recurrence.event} {recurrence.latitude:g} {recurrence.longitude:g}"
        case Cron():
            days = f"{recurrence.day_of_month} {recurrence.month_of_year} {recurrence.day_of_week}"
            return f"{recurrence.minute} {recurrence.hour} {days}"
    raise TypeError(f"no text for {recurrence!r}")


def span(seconds: int) -> str:
    """As 1h30m; 0 is 0s."""
    left, said = seconds, ""
    for size, unit in UNITS:
        count, left = divmod(left, size)
        said += f"{count}{unit}" if count else ""
    return said or "0s"


def _solar(text: str, rest: list[str]) -> Solar:
    try:
        event, latitude, longitude = rest
        return Solar(event.lower(), float(latitude), float(longitude))
    except InvalidSchedule:
        raise
    except ValueError as error:
        raise InvalidSchedule(
            f"Invalid solar schedule {text[:80]!r}. Expected an event, a latitude and a longitude in degrees, "
            f"as '{SOLAR} sunrise 52.52 13.41'."
        ) from error
