"""Ask what was enqueued and has not ended yet."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connections
from kombu.utils.json import loads

from ..engine.link import jobs_alias
from ..engine.payload import encode
from ..models import Job
from ..states import FINAL
from .committed import in_test

SHOWN = 20
"""Jobs that a message lists."""


def assert_enqueued(
    task: Any,
    *,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    queue: str | None = None,
    tags: Mapping[str, str] | None = None,
    count: int | None = None,
) -> list[Job]:
    """Assert that jobs of `task` (a task or its name) wait: at least one, or exactly `count`. Returns them.

    `args` and `kwargs` are compared whole, as they arrive at the task; of `tags`, those that are given. A job that has
    ended, because `run_jobs()` ran it, does not count. The message lists what was enqueued instead.
    """
    wanted = _wanted(task, args, kwargs, queue, tags)
    jobs = _jobs()
    found = [job for job in jobs if job.state not in FINAL and not _differences(job, wanted)]
    if len(found) != count if count is not None else not found:
        expected = "at least one job" if count is None else f"{count} job{'s' * (count != 1)}"
        raise AssertionError(f"Expected {expected} of {_said(wanted)}, found {len(found)}. {_listed(jobs, wanted)}")
    return found


def assert_not_enqueued(task: Any, **wanted: Any) -> None:
    """Assert that no job like it waits; takes what `assert_enqueued` takes, but no `count`."""
    assert_enqueued(task, **{**wanted, "count": 0})


def _wanted(task: Any, args: Any, kwargs: Any, queue: str | None, tags: Any) -> dict[str, Any]:
    wanted = {
        "task": getattr(task, "name", task),
        # As they would arrive: a tuple is a list by then.
        "args": None if args is None else loads(encode("args", list(args))),
        "kwargs": None if kwargs is None else loads(encode("kwargs", dict(kwargs))),
        "queue": queue,
        "tags": None if tags is None else dict(tags),
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _jobs() -> list[Job]:
    return list(Job.objects.using(jobs_alias()).order_by("created_at", "id"))


def _differences(job: Job, wanted: Mapping[str, Any]) -> list[str]:
    """The names of what is otherwise in the job."""
    tags = wanted.get("tags", {})
    has = {
        "task": job.task,
        "args": loads(job.args),
        "kwargs": loads(job.kwargs),
        "queue": job.queue,
        "tags": {name: value for name, value in (job.tags or {}).items() if name in tags},
    }
    return [name for name, value in wanted.items() if has[name] != value]


def _said(wanted: Mapping[str, Any]) -> str:
    more = ", ".join(f"{name}={value!r}" for name, value in wanted.items() if name != "task")
    return wanted["task"] + (f" with {more}" if more else "")


def _listed(jobs: Sequence[Job], wanted: Mapping[str, Any]) -> str:
    near = sorted(jobs, key=lambda job: (job.task != wanted["task"], len(_differences(job, wanted))))
    lines = [f"  {_described(job, wanted)}" for job in near[:SHOWN]]
    if len(near) > SHOWN:
        lines.append(f"  … and {len(near) - SHOWN} more")
    connection = connections[jobs_alias()]
    if in_test(connection) and connection.run_on_commit:
        lines.append(
            f"  Callbacks of on_commit() that wait for the test's commit: {len(connection.run_on_commit)}. "
            "run_jobs() calls them, and so does captureOnCommitCallbacks(execute=True)."
        )
    return "\n".join(["Enqueued:", *lines]) if lines else "No job was enqueued."


def _described(job: Job, wanted: Mapping[str, Any]) -> str:
    values = [*map(repr, loads(job.args)), *(f"{name}={value!r}" for name, value in loads(job.kwargs).items())]
    tags = f", tags {job.tags}" if job.tags else ""
    differs = [name for name in _differences(job, wanted) if name != "task"]
    note = f" (other {', '.join(differs)})" if job.task == wanted["task"] and differs else ""
    return f"{job.task}({', '.join(values)[:200]}) in queue {job.queue!r}, {job.state}{tags}{note}"
