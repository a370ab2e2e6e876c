"""The settings of the clean-up of temporary files."""

import os
import sys
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from ...conf import CENTURY, forget_on_change, read


def _own_folder() -> tuple[str, ...]:
    """One that only the platform uses: others keep in the system's temporary folder what is theirs."""
    return (os.path.join(os.path.realpath(tempfile.gettempdir()), f"jobs-{os.getuid()}"),)


@dataclass(frozen=True, kw_only=True, slots=True)
class TempfilesSettings:
    folders: tuple[str, ...] = field(default_factory=_own_folder)
    """Folders that are cleaned, and whose own place stays; from the environment with colons between them."""
    hours: float = 24.0
    """Hours without a change after which a file, a link or an empty folder is removed."""

    def problems(self) -> list[str]:
        found = [problem for folder in self.folders if (problem := _problem(folder))]
        if not 0 < self.hours <= CENTURY / 3600:
            found.append(f"TEMPFILES_HOURS is {self.hours}; expected a number above 0, at most a hundred years.")
        return found


def _problem(folder: str) -> str | None:
    path = Path(folder)
    if not path.is_absolute() or folder.startswith("//") or ".." in path.parts or "\0" in folder:
        return f"TEMPFILES_FOLDERS has {folder!r}; expected absolute paths without '..', as /var/tmp/uploads."
    for thing, place in _needed().items():
        if place.is_relative_to(path):
            return (
                f"TEMPFILES_FOLDERS has {folder!r}, which contains {thing} ({place}): its old files would be deleted. "
                "Name a folder that holds nothing but temporary files."
            )
    return None


def _needed() -> dict[str, Path]:
    """What a folder that is cleaned can't contain."""
    return {
        "this program": Path(__file__).resolve(),
        "its packages": Path(sys.prefix).resolve(),
        "the home directory": Path(os.path.expanduser("~")).resolve(),
    }


@cache
def tempfiles_settings() -> TempfilesSettings:
    return read(TempfilesSettings, "TEMPFILES_")


forget_on_change("TEMPFILES_", tempfiles_settings.cache_clear)
