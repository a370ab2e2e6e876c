"""Fields of forms that read what people write about time, and say what is wrong with it."""

import difflib
import re
from collections.abc import Iterable
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django import forms
from django.utils.html import format_html, format_html_join

from ..texts import UNITS, span

SPAN = re.compile(r"(?:\d{1,9}[dhms])+")
SECONDS = {unit: size for size, unit in UNITS}


class SpanField(forms.FloatField):
    """Seconds, written as such or as 90s, 5m, 1h30m, 7d."""

    widget = forms.TextInput(attrs={"size": 10})

    def to_python(self, value: Any) -> float | None:
        text = str("" if value is None else value).strip().lower().replace(" ", "")
        if SPAN.fullmatch(text):
            return float(sum(int(count) * SECONDS[unit] for count, unit in re.findall(r"(\d+)(\w)", text)))
        try:
            return super().to_python(text)
        except forms.ValidationError as error:
            raise forms.ValidationError(
                f"{text[:40]!r} is no span of time. Expected seconds, or a span such as 90s, 5m, 1h30m, 7d."
            ) from error

    def prepare_value(self, value: Any) -> Any:
        return span(int(value)) if isinstance(value, int | float) and value == int(value) else value


class TagsField(forms.JSONField):
    def prepare_value(self, value: Any) -> Any:
        return "" if value is None else super().prepare_value(value)


class Suggested(forms.TextInput):
    """A line of text with suggestions, which need no script."""

    suggestions: Iterable[str] = ()

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> str:
        list_id = f"{name}-suggestions"
        line = super().render(name, value, {**(attrs or {}), "list": list_id}, renderer)
        options = format_html_join("", '<option value="{}"></option>', ((text,) for text in self.suggestions))
        return format_html('{}<datalist id="{}">{}</datalist>', line, list_id, options)


class ZoneField(forms.CharField):
    """A time zone by its name; the value is a ZoneInfo."""

    widget = Suggested(attrs={"size": 30})

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=100, **kwargs)
        self.widget.suggestions = zones()

    def clean(self, value: Any) -> ZoneInfo:
        name = super().clean(value)
        if name not in zones():
            near = _nearest(name)
            hint = f" Did you mean {near!r}?" if near else ""
            raise forms.ValidationError(
                f"Unknown time zone {name!r}.{hint} Expected a name such as 'Europe/Berlin' or 'UTC'."
            )
        return ZoneInfo(name)

    def prepare_value(self, value: Any) -> Any:
        return str(value) if isinstance(value, ZoneInfo) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        return str(initial or "") != str(data or "").strip()


class Moment(forms.DateTimeField):
    """A date and a time of the current time zone, in the browser's own input."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"}, format="%Y-%m-%dT%H:%M:%S")
        super().__init__(widget=widget, **kwargs)


@cache
def zones() -> list[str]:
    return sorted(available_timezones())


def _nearest(name: str) -> str:
    cities = {zone.rpartition("/")[2].lower(): zone for zone in reversed(zones())}
    given = name.strip().lower().replace(" ", "_")
    city = difflib.get_close_matches(given.rpartition("/")[2], cities, n=1, cutoff=0.75)
    whole = difflib.get_close_matches(name, zones(), n=1, cutoff=0.75)
    return next(iter(whole or [cities[found] for found in city]), "")
