"""What people say of a schedule, as one value: the same for every door that writes one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django_celery_beat.models import PeriodicTask
from kombu.utils.json import loads

from .code import POLICY
from .errors import InvalidSchedule
from .recurrence import Recurrence
from .states import Misfire, Overlap
from .texts import text_of
from .times import recurrence, times_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Fields:
    """All that may be written of a schedule; durations are seconds. `checked.check` tells whether it can be."""

    name: str
    task: str
    """Name of a registered one."""
    when: str
    """`0 8 * * mon-fri`, `@daily`, `@every 5m`, `@at 2026-12-24T18:00`, `@solar sunrise 52.52 13.41`."""
    zone: str | None = None
    """Of wall-clock times, as Europe/Berlin; None: Celery's `timezone`."""
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, Any] = field(default_factory=dict)
    """Of the message, as Celery has them."""
    queue: str | None = None
    enabled: bool = True
    description: str = ""
    starts_at: datetime | None = None
    """Nothing is due before; an interval is counted from it."""
    ends_at: datetime | None = None
    """Nothing is due from then on."""

    overlap: str = Overlap.ALLOW
    misfire: str = Misfire.RUN_ONCE
    misfire_cap: int = 100
    spread: float = 0.0
    window: float = 60.0
    jitter: float = 0.0
    max_runs: int | None = None
    pause_after_failures: int | None = None
    priority: int | str | None = None
    """−100 to 100 or its name; None: the task's. None means that in the rest, too."""
    timeout: float | None = None
    max_retries: int | None = None
    expires_after: float | None = None
    unique_key: str | None = None
    tags: Mapping[str, str] | None = None


NAMES = tuple(Fields.__dataclass_fields__)


def fields_of(task: PeriodicTask) -> Fields:
    """Of a saved one with its companion; `when` is empty where its rows say nothing that can be."""
    own = task.companion
    policy = {name: getattr(own, name) for name in POLICY}
    # django-celery-beat has places of its own for these two.
    policy["priority"] = task.priority if own.priority is None else own.priority
    policy["expires_after"] = task.expire_seconds if own.expires_after is None else own.expires_after
    times = recurrence_of(task)
    return Fields(
        name=task.name,
        task=task.task,
        when=text_of(times) if times else "",
        zone=str(task.crontab.timezone) if task.crontab else None,
        args=value_of(task.args, []),
        kwargs=value_of(task.kwargs, {}),
        headers=value_of(task.headers, {}),
        queue=task.queue,
        enabled=task.enabled,
        description=task.description,
        starts_at=task.start_time,
        ends_at=task.expires,
        **policy,
    )


def recurrence_of(task: PeriodicTask) -> Recurrence | None:
    """Of a saved one with its companion; None for rows that never were checked and can't be."""
    try:
        return recurrence(times_of(task, task.companion.anchor_at))
    except InvalidSchedule:
        return None


def value_of(text: str | None, empty: Any) -> Any:
    """What JSON in a column says; empty as well where somebody wrote what is none."""
    try:
        value = loads(text) if text else empty
    except ValueError:
        return empty
    return value if isinstance(value, type(empty)) else empty
