"""The call that a schedule makes, as a job."""

from datetime import datetime, timedelta
from functools import cache
from typing import Any

from celery import Celery
from celery.app.task import Task, extract_exec_options
from kombu.utils.json import loads

from jobs.app.options import declared
from jobs.app.send import prepared
from jobs.engine.newjob import NewJob
from jobs.errors import InvalidJob, UnknownTask
from jobs.submit import check_arguments
from jobs.wire import CARRIER, ERRBACKS

from .standing import Standing

REFERENCE = "schedule"
"""Type of a job's reference to its schedule."""


class Call:
    """A checked call. Raises InvalidJob; nothing is written before `job` is enqueued or `make` is called."""

    def __init__(self, app: Celery, of: Standing, run_at: datetime | None, now: datetime) -> None:
        self.task = find(app, of.task)
        self.args = _arguments(of, "args", list)
        self.kwargs = _arguments(of, "kwargs", dict)
        self.options = _options(of, run_at, now)
        _check(self.task, self.args, self.kwargs)
        self.job: NewJob | None = None
        # A task with an `apply_async` of its own is to be called by that.
        if self.is_tracked and type(self.task).apply_async is Task.apply_async:
            own = {name: value for name, value in extract_exec_options(self.task).items() if value is not None}
            given = {"ignore_result": self.task.ignore_result, **own, **declared(self.task), **self.options}
            self.job = prepared(app, self.task.name, self.args, self.kwargs, self.task, given)

    @property
    def is_tracked(self) -> bool:
        return getattr(self.task, "track", True)

    def make(self) -> Any:
        """Call the task; returns the id of its job."""
        return self.task.apply_async(self.args, self.kwargs, **self.options).id


def find(app: Celery, name: str) -> Any:
    """The registered task of that name. Raises UnknownTask with the near miss."""
    task = tasks(app).get(name)
    if task is None or name in (CARRIER, ERRBACKS):
        raise UnknownTask(name, (known for known in app.tasks if known not in (CARRIER, ERRBACKS)))
    return task


@cache
def tasks(app: Celery) -> Any:
    """The registry, with the tasks of every installed app."""
    app.loader.import_default_modules()
    return app.tasks


def _arguments(of: Standing, name: str, kind: type) -> Any:
    text = getattr(of, name)
    try:
        value = loads(text) if text else kind()
    except ValueError as error:
        raise InvalidJob(f"The schedule's {name} {text[:80]!r} can't be read as JSON: {error}.") from error
    if not isinstance(value, kind):
        raise InvalidJob(
            f"The schedule's {name} are {text[:80]!r}; expected a JSON {'array' if kind is list else 'object'}."
        )
    return value


def _check(task: Any, args: Any, kwargs: Any) -> None:
    if task.typing:
        try:
            task.__header__(*args, **kwargs)
        except TypeError:
            check_arguments(task, args, kwargs)
            raise


def _options(of: Standing, run_at: datetime | None, now: datetime) -> dict[str, Any]:
    headers = {**_arguments(of, "headers", dict), "periodic_task_name": of.name, "celery_beat_task": True}
    seconds = of.expires_after if of.expires_after is not None else of.expire_seconds
    options = {
        "queue": of.queue or None,
        "priority": of.priority if of.priority is not None else of.beat_priority,
        "headers": headers,
        "eta": run_at,
        "expires": None if seconds is None else (run_at or now) + timedelta(seconds=seconds),
        "time_limit": of.timeout,
        "max_retries": of.max_retries,
        "unique_key": of.unique_key or None,
        "tags": loads(of.tags) if of.tags else None,
        "reference": (REFERENCE, str(of.id)),
    }
    return {name: value for name, value in options.items() if value is not None}
