"""Start a registered task by a name that comes from outside: the API, the command line, the admin."""

import inspect
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from uuid import UUID

from celery import Celery, current_app
from django.db import transaction

from .engine import requeue
from .engine.link import jobs_alias
from .engine.newjob import job_key
from .engine.payload import encode
from .errors import InvalidJob, UnknownTask
from .models import Job
from .wire import CARRIER, ERRBACKS


class BadArguments(InvalidJob):
    """Arguments that the task's signature does not take; `field` is "args" or "kwargs"."""

    def __init__(self, task: str, signature: inspect.Signature, problem: str) -> None:
        self.field = "kwargs" if "keyword" in problem or "multiple values" in problem else "args"
        super().__init__(f"Task {task!r} does not take these arguments: {problem}. Its signature is {signature}.")


def submit(task: str, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any) -> UUID:
    """Insert a job of a registered task, in the caller's transaction or one of its own. Returns its id.

    `options` are Celery's call options; those that are None count as not given. Raises UnknownTask, BadArguments or
    InvalidJob; nothing was written then.
    """
    found = find_task(task)
    check_arguments(found, args, kwargs or {})
    given = {name: value for name, value in options.items() if value is not None}
    with transaction.atomic(using=jobs_alias()):
        return job_key(found.apply_async(list(args), dict(kwargs or {}), **given).id)


def resubmit(
    job: Job,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    actor: str,
    reason: str = "",
    ip: str | None = None,
) -> bool:
    """Run a finished job again with other arguments, checked like those of a call; its audit entry keeps the old ones.

    Returns whether it moved: it does not when it is live or has completed. Raises UnknownTask, BadArguments or
    InvalidJob; nothing was written then.
    """
    check_arguments(find_task(job.task), args, kwargs)
    new_args, new_kwargs = encode("args", list(args)), encode("kwargs", dict(kwargs))
    with transaction.atomic(using=jobs_alias()):
        return bool(requeue([job.pk], actor=actor, reason=reason, ip=ip, args=new_args, kwargs=new_kwargs))


def find_task(name: str) -> Any:
    """The task of that name, if it may be started from outside; nothing is ever imported by name.

    Raises UnknownTask with the near miss, InvalidJob for a task that leaves no job row.
    """
    known = task_names()
    if name not in known:
        raise UnknownTask(name, known)
    task = _app().tasks[name]
    if not getattr(task, "track", True):
        raise InvalidJob(f"Task {name!r} is declared track=False, so no job stands for it: call it from code instead.")
    return task


def task_names() -> list[str]:
    """Registered tasks that may be started from outside: all but Celery's own and the platform's."""
    return sorted(name for name in _app().tasks if not name.startswith("celery.") and name not in (CARRIER, ERRBACKS))


def check_arguments(task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Raises BadArguments, as the call itself would with a TypeError; tasks with typing=False take anything."""
    if not task.typing:
        return
    signature = inspect.signature(task.run)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise BadArguments(task.name, signature, str(error)) from error


@cache
def _app() -> Celery:
    """The project's Celery app with the tasks of every installed app, which a web process has not imported yet."""
    app = current_app._get_current_object()
    app.loader.import_default_modules()
    return app
