"""Dawn, noon and dusk of a place, as Celery has them."""

import difflib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from celery.exceptions import ImproperlyConfigured
from celery.schedules import solar

from ..errors import InvalidSchedule

EVENTS = (
    "dawn_astronomical",
    "dawn_nautical",
    "dawn_civil",
    "sunrise",
    "solar_noon",
    "sunset",
    "dusk_civil",
    "dusk_nautical",
    "dusk_astronomical",
)
BEGINS = {"dawn": -2, "sunr": -2, "sola": 0, "suns": 10, "dusk": 10}
"""Hours of the mean solar day at which it is cut, by the beginning of an event's name: none happens near them."""
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
YEARS = timedelta(days=2 * 366)


@dataclass(frozen=True, slots=True)
class Solar:
    """Due when the sun stands so at a place, to the second. Needs the package ephem. Raises InvalidSchedule."""

    event: str
    latitude: float
    """Degrees, north is above 0."""
    longitude: float
    """Degrees, east is above 0."""

    def __post_init__(self) -> None:
        if self.event not in EVENTS:
            near = difflib.get_close_matches(self.event, EVENTS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise InvalidSchedule(f"Unknown event {self.event[:80]!r}.{hint} Expected one of {', '.join(EVENTS)}.")
        for name, value, most in (("latitude", self.latitude, 90), ("longitude", self.longitude, 180)):
            if not -most <= value <= most:
                raise InvalidSchedule(f"Invalid {name} {value}. Expected degrees, -{most} to {most}.")
        try:
            solar(self.event, self.latitude, self.longitude)
        except ImproperlyConfigured as error:
            raise InvalidSchedule(
                "Solar schedules need the package ephem. Install it where web, workers and beat run: "
                "pip install 'celery[solar]'"
            ) from error

    def after(self, moment: datetime) -> datetime | None:
        """First due time strictly after `moment`, aware UTC; None: never again, as at a pole, or beyond year 9999."""
        start = self._day_of(moment)
        try:
            while start < moment + YEARS:
                found = self._search(start)
                if found >= start + DAY:
                    start = self._day_of(found)
                    continue
                due = (found + timedelta(milliseconds=500)).replace(microsecond=0)
                if due > moment:
                    return due
                start += DAY
        except (OverflowError, ValueError):
            pass
        return None

    def describe(self) -> str:
        said = self.event.replace("_", " ")
        return f"At {said} at latitude {self.latitude}, longitude {self.longitude}"

    def _day_of(self, moment: datetime) -> datetime:
        """The beginning of the place's day that holds a moment; an event is well within one.

        All are searched from there: a search is exact to a tenth of a second, so that one that began at a due time
        might find the same event again.
        """
        begin = EPOCH + timedelta(hours=BEGINS[self.event[:4]] - float(self.longitude) / 15)
        return begin + (moment - begin) // DAY * DAY

    def _search(self, start: datetime) -> datetime:
        seen = solar(self.event, self.latitude, self.longitude, nowfun=lambda: start)
        return start + seen.remaining_estimate(start)
