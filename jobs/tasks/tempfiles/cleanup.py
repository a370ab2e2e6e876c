"""The task `tempfiles.cleanup`: what is old in the configured folders is removed."""

import logging
import time
from collections.abc import Callable
from typing import Any

from celery import shared_task

from .conf import TempfilesSettings, tempfiles_settings
from .sweep import Sweep
from .tally import Tally

logger = logging.getLogger("jobs")

Progress = Callable[[int, int | None, str], None]


# Neither retried nor a dead letter: the next scheduled run is the retry. The folders are no argument: who may submit
# jobs would choose what is deleted.
@shared_task(bind=True, name="tempfiles.cleanup", max_retries=0, dead_letter=False)
def cleanup(self: Any, dry_run: bool = False) -> dict[str, Any]:
    """Remove from TEMPFILES_FOLDERS what has not changed for TEMPFILES_HOURS; with `dry_run`, count it only.

    Returns {"dry_run", "seen", "removed": {"files", "folders", "bytes"}, "kept", "failed", "examples",
    "missing_folders"}: `kept` and `failed` count by reason, `examples` are paths that could not be removed.
    """
    if not isinstance(dry_run, bool):
        raise TypeError(f"dry_run={dry_run!r:.200}: pass true or false.")
    return clean(tempfiles_settings(), dry_run=dry_run, now=time.time(), progress=self.progress)


def clean(settings: TempfilesSettings, *, dry_run: bool, now: float, progress: Progress) -> dict[str, Any]:
    """The task without its worker; `now` is in seconds since 1970."""

    def report(tally: Tally) -> None:
        progress(tally.seen, None, f"seen {tally.seen:,}, removed {tally.files + tally.folders:,}")

    sweep = Sweep(before=now - settings.hours * 3600, dry_run=dry_run, report=report)
    for folder in settings.folders:
        sweep.clean(folder)
    report(sweep.tally)
    _log(sweep.tally, dry_run)
    return {"dry_run": dry_run, **sweep.tally.result()}


def _log(tally: Tally, dry_run: bool) -> None:
    if tally.files + tally.folders and not dry_run:
        logger.info(
            "old temporary files removed",
            extra={"files": tally.files, "folders": tally.folders, "bytes": tally.bytes},
        )
    if tally.failed:
        logger.warning(
            "%d temporary files or folders could not be removed: give this user the right to, or take the folder out "
            "of TEMPFILES_FOLDERS: %s",
            tally.failed.total(),
            "; ".join(tally.examples),
        )
