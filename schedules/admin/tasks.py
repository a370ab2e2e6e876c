"""The tasks that a schedule may have, each with its signature."""

import inspect

from celery import current_app

from jobs.submit import task_names

from ..calls import tasks

LONGEST = 110
"""Characters of a signature in the list of tasks."""


def signature_of(name: str) -> str:
    """As `(url, *, timeout=20)`; empty for a task that this process does not know."""
    task = tasks(current_app._get_current_object()).get(name)
    try:
        return str(inspect.signature(task.run)) if task is not None else ""
    except (TypeError, ValueError):
        return ""


def choices(current: str) -> list[tuple[str, str]]:
    registry = tasks(current_app._get_current_object())
    names = [name for name in task_names() if getattr(registry[name], "track", True)]
    found = [("", "---------"), *((name, _label(name)) for name in names)]
    return (
        found if not current or current in names else [*found, (current, f"{current} (no task that is tracked here)")]
    )


def _label(name: str) -> str:
    signature = signature_of(name)
    return f"{name} {signature if len(signature) <= LONGEST else f'{signature[:LONGEST]}…'}"
