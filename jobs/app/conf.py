"""Celery's settings, each looked up once until one changes."""

from typing import Any

from celery.app.utils import Settings
from django.core.signals import setting_changed


class RememberedSettings(Settings):
    """Celery's `app.conf`. It searches three mappings for four names of each setting, which takes longer than a row.

    A change through it, and Django's `setting_changed`, make it look again.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Not as attributes: Celery would take those for settings.
        self._forget()
        super().__init__(*args, **kwargs)
        setting_changed.connect(self._forget)

    @property
    def derived(self) -> dict[Any, Any]:
        """A place for what follows from the settings; empty again when one of them changes."""
        derived: dict[Any, Any] = self.__dict__["derived_"]
        return derived

    def __getitem__(self, key: str) -> Any:
        found = self.__dict__["found"]
        try:
            return found[key]
        except KeyError:
            # Into the dict from before the search: what changed meanwhile has put another in its place.
            value = found[key] = super().__getitem__(key)
            return value

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self._forget()

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self._forget()

    def pop(self, key: str, *default: Any) -> Any:
        try:
            return super().pop(key, *default)
        finally:
            self._forget()

    def update(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().update(*args, **kwargs)
        finally:
            self._forget()

    def clear(self) -> None:
        super().clear()
        self._forget()

    def add_defaults(self, d: Any) -> None:
        super().add_defaults(d)
        self._forget()

    def _forget(self, **_: Any) -> None:
        self.__dict__["found"], self.__dict__["derived_"] = {}, {}
