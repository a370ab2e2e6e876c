"""Calls of a group that differ in nothing but id, place and arguments: one is prepared, the others are copies of it."""

from dataclasses import dataclass, fields
from typing import Any

from celery import Celery, signals
from celery.app.routes import MapRoute

from ..conf import jobs_settings
from ..engine.newjob import NewJob, job_key
from ..engine.payload import encode
from .gathering import known, waits_for
from .options import travelling
from .signature import PLAIN

OWN = frozenset({"task_id", "group_index"})
"""Options that each member of a group has of its own."""
UNSEEN = frozenset({"task_type", "result_cls", "producer"})
"""Options that no job shows."""
_SHARED = tuple(field.name for field in fields(NewJob) if field.name not in ("id", "args", "kwargs", "options"))


@dataclass(frozen=True, slots=True)
class Pattern:
    """A member's call that was prepared."""

    options: dict[str, Any]
    columns: dict[str, Any]
    """What its job shares with those of its copies."""
    travelling: str
    """The options that go with them, as JSON, but for the place in the group."""

    def fits(self, options: dict[str, Any]) -> bool:
        mine = self.options
        if len(options) != len(mine):
            return False
        for name, value in options.items():
            other = mine.get(name, self)
            # True is not 1: a priority of True is refused.
            same = value is other or (type(value) is type(other) and value == other)
            if not same and name not in OWN and name not in UNSEEN:
                return False
        return True

    def copy(self, args: Any, kwargs: Any, options: dict[str, Any]) -> NewJob | None:
        """The job of a call that fits. None: it has to be prepared after all."""
        task_id, index = options.get("task_id"), options.get("group_index")
        if not isinstance(task_id, str) or type(index) is not int:
            return None
        key = job_key(task_id)
        text = f'{self.travelling[:-1]}, "group_index": {index}}}'
        if str(key) != task_id or len(text) > jobs_settings().max_payload:
            return None
        return NewJob(
            id=key,
            args=encode("args", list(args or ())),
            kwargs=encode("kwargs", dict(kwargs)) if kwargs else "{}",
            options=text,
            **self.columns,
        )


def copied(name: str, args: Any, kwargs: Any, options: dict[str, Any]) -> NewJob | None:
    """The job of a call like one that was made in this group before; None if there was none."""
    pattern = (known() or {}).get(f"call of {name}")
    return pattern.copy(args, kwargs, options) if pattern is not None and pattern.fits(options) else None


def remember(app: Celery, given: dict[str, Any], options: dict[str, Any], job: NewJob) -> None:
    """Keep a member's call, if nothing but the options that were `given` made its job what it is.

    `options` is what task, routes and site have made of those.
    """
    found = known()
    # A job that waits for a chord carries its countdown; a key may depend on the arguments.
    if found is None or waits_for() is not None or options.get("unique_key") is not None:
        return
    if not is_plain(given) or not nobody_looks(app):
        return
    text = travelling({name: value for name, value in options.items() if name not in OWN}, None)
    if text is not None:
        found[f"call of {job.task}"] = Pattern(given, {name: getattr(job, name) for name in _SHARED}, text)


def nobody_looks(app: Celery) -> bool:
    """Whether neither a signal's receiver nor a route that is a function looks at each call."""
    if signals.before_task_publish.receivers or signals.after_task_publish.receivers:
        return False
    return all(isinstance(route, MapRoute) for route in app.amqp.router.routes or ())


def is_plain(options: dict[str, Any]) -> bool:
    """Whether none of the values can change between two calls."""
    return all(type(value) in PLAIN or name in UNSEEN for name, value in options.items())
