"""Where tasks put their temporary files."""

import os
import stat
from pathlib import Path

from ...errors import InvalidFolder
from .conf import tempfiles_settings


def temporary_folder() -> Path:
    """The first of TEMPFILES_FOLDERS, made if it is not there: `tempfile.TemporaryDirectory(dir=temporary_folder())`.

    Raises InvalidFolder.
    """
    folders = tempfiles_settings().folders
    if not folders:
        raise InvalidFolder("TEMPFILES_FOLDERS is empty: name a folder in it, or use one of your own.")
    path = Path(folders[0])
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise InvalidFolder(f"Cannot make {path}: {error.strerror}. Name another in TEMPFILES_FOLDERS.") from error
    # In a folder that all may write to, somebody else may have been there first, and would own what is put there.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), 0):
        raise InvalidFolder(
            f"{path} is not a folder of this user or of root. Remove it, or name another in TEMPFILES_FOLDERS."
        )
    return path
