"""Schedules that code declares: a decorator, the setting SCHEDULES, and Celery's `beat_schedule`.

Nothing here imports models or a task: modules of tasks are imported while Celery's app is being made.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from celery import Celery, schedules
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

_decorated: list[tuple[Any, str | None, dict[str, Any]]] = []


@dataclass(frozen=True, kw_only=True, slots=True)
class Declaration:
    name: str
    task: str
    when: Any
    """A text such as `0 8 * * mon` or `@every 5m`, a number of seconds, a timedelta, or one of Celery's schedules."""
    zone: str | None = None
    """Of wall-clock times; None: Celery's `timezone`."""
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, Any] = field(default_factory=dict)
    queue: str | None = None
    enabled: bool = True
    editable: bool = False
    """Whether people may change it; then what they have changed stays."""
    description: str = ""
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    policy: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the companion: overlap, misfire, window, priority, tags, …"""


OWN = frozenset(Declaration.__dataclass_fields__) - {"name", "task", "when", "policy"}


def schedule(when: Any, *, name: str | None = None, **options: Any) -> Callable[[Any], Any]:
    """Declare a schedule of a task, above `@shared_task`; several may stand above one another, by names of their own.

    `name` is the task's unless given. Options are those of Declaration and the policies of a schedule:
    `@schedule("@every 5m", overlap="skip")`. What is wrong with them is said when they are synchronised.
    """

    def declare(task: Any) -> Any:
        # Its name is asked for later: that would make Celery's app final while its tasks are being read.
        _decorated.append((task, name, {"when": when, **options}))
        return task

    return declare


def declarations(app: Celery) -> Iterator[Declaration]:
    """All of them. Raises ImproperlyConfigured for a table that is none."""
    for task, name, options in _decorated:
        known = getattr(task, "name", None)
        if known is None:
            raise ImproperlyConfigured(f"@schedule stands on {task!r}, which is no task: put it above @shared_task.")
        yield _declaration(name or known, {"task": known, **options})
    table = getattr(settings, "SCHEDULES", None) or {}
    if not isinstance(table, Mapping):
        raise ImproperlyConfigured(f"SCHEDULES is {table!r:.80}; expected a dict of names to dicts with task and when.")
    for name, options in table.items():
        yield _declaration(name, options)
    for name, entry in {**_celerys_own(app), **(app.conf.beat_schedule or {})}.items():
        yield _of_celery(name, entry)


def _declaration(name: str, options: Mapping[str, Any]) -> Declaration:
    if missing := {"task", "when"} - set(options):
        raise ImproperlyConfigured(f"The schedule {name!r} in SCHEDULES lacks {' and '.join(sorted(missing))}.")
    own = {key: value for key, value in options.items() if key in OWN}
    policy = {key: value for key, value in options.items() if key not in OWN | {"task", "when"}}
    return Declaration(name=name, task=options["task"], when=options["when"], policy=policy, **own)


def _celerys_own(app: Celery) -> dict[str, dict[str, Any]]:
    """As Celery's schedulers add it."""
    if not app.conf.result_expires:
        return {}
    cleanup = {"task": "celery.backend_cleanup", "schedule": schedules.crontab("0", "4", "*")}
    return {"celery.backend_cleanup": {**cleanup, "options": {"expires": 12 * 3600}}}


RENAMED = {"time_limit": "timeout", "expires": "expires_after"}


def _of_celery(name: str, entry: Mapping[str, Any]) -> Declaration:
    options = {RENAMED.get(key, key): value for key, value in (entry.get("options") or {}).items()}
    if isinstance(options.get("expires_after"), timedelta):
        options["expires_after"] = options["expires_after"].total_seconds()
    return Declaration(
        name=name,
        task=entry["task"],
        when=entry["schedule"],
        args=entry.get("args") or (),
        kwargs=entry.get("kwargs") or {},
        queue=options.pop("queue", None),
        headers=options.pop("headers", None) or {},
        policy=options,
    )
