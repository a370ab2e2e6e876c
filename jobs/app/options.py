"""Celery's call options as a job: what becomes a column, what travels, what is refused."""

import difflib
import inspect
from datetime import UTC, datetime
from functools import cache
from typing import Any

from celery import Celery
from celery.utils.time import maybe_make_aware
from kombu import Queue
from kombu.utils.functional import maybe_list

from ..conf import jobs_settings
from ..engine.newjob import LONGEST_WAIT, NewJob, job_key, new_id, priority_number
from ..engine.payload import encode, encode_tags
from ..errors import InvalidJob
from ..models.references import reference_of
from .retrying import ON_LOST, problem_with
from .uniqueness import unique_key

# They say how to reach a broker, which a job never does.
BROKER_OPTIONS = frozenset(
    {
        "connection",
        "producer",
        "publisher",
        "router",
        "retry",
        "retry_policy",
        "delivery_mode",
        "compression",
        "confirm_timeout",
        "mandatory",
        "immediate",
        "expiration",
        "exchange",
        "exchange_type",
        "routing_key",
        "route_name",
        "task_type",
        "result_cls",
        "add_to_parent",
        "retries",
    }
)
# They travel with the job and come back as `self.request`.
TRAVELLING = frozenset(
    {
        "link",
        "link_error",
        "chain",
        "chord",
        "group_id",
        "group_index",
        "root_id",
        "parent_id",
        "shadow",
        "headers",
        "ignore_result",
        "reply_to",
        "replaced_task_nesting",
        "stamped_headers",
        "argsrepr",
        "kwargsrepr",
        "time_limit",
        "soft_time_limit",
        "retry_delay",
        "retry_backoff",
        "retry_backoff_max",
        "on_lost",
    }
)
# They become columns.
COLUMNS = frozenset(
    {
        "task_id",
        "queue",
        "priority",
        "countdown",
        "eta",
        "expires",
        "max_retries",
        "unique_key",
        "unique_for",
        "on_conflict",
        "retry_for",
        "tags",
        "reference",
        "created_by",
        "serializer",
    }
)


def new_job(app: Celery, name: str, args: Any, kwargs: Any, task: Any, options: dict[str, Any]) -> NewJob:
    """A validated job. Raises InvalidJob before any SQL."""
    _refuse_unknown(options)
    _check_retries(task, options)
    eta = _moment(app, "eta", options.get("eta"))
    expires = options.get("expires")
    expires_at = None if isinstance(expires, int | float) else _moment(app, "expires", expires)
    reference_type, reference_id = _reference(options.get("reference"))
    task_id = options.get("task_id")
    return NewJob(
        id=job_key(task_id) if task_id else new_id(),
        task=name,
        name=options.get("shadow") or "",
        args=encode("args", list(args or ())),
        kwargs=encode("kwargs", dict(kwargs or {})),
        queue=_queue(app, options),
        priority=priority_number(options.get("priority")),
        delay=seconds("countdown", options.get("countdown")),
        run_at=eta,
        expires=None if expires_at else seconds("expires", expires),
        expires_at=expires_at,
        max_retries=_max_retries(task, options),
        retry_for=options.get("retry_for") or jobs_settings().retry_for or None,
        options=travelling(options, task_id),
        tags=encode_tags(options.get("tags")),
        reference_type=reference_type,
        reference_id=reference_id,
        created_by=options.get("created_by"),
        unique_key=unique_key(args, kwargs, options),
        unique_for=seconds("unique_for", options.get("unique_for")),
        on_conflict=options.get("on_conflict") or "existing",
    )


OWN = ("unique_key", "unique_for", "on_conflict", "retry_for", "on_lost")
"""Our options that a task may declare for all its calls."""


def declared(task: Any) -> dict[str, Any]:
    """What the task declares of OWN; a function stays one, Python would bind it to the task as a method."""
    kind: Any = type(task)
    return _declared(kind)


@cache
def _declared(cls: type) -> dict[str, Any]:
    found = {name: inspect.getattr_static(cls, name, None) for name in OWN}
    return {name: value for name, value in found.items() if value is not None}


def shrunk(app: Celery, options: dict[str, Any]) -> dict[str, Any]:
    """Options of whose later steps `chord` says only that there is one: its body is stored once, with the chord."""
    if options.get("chain"):
        options = {**options, "chain": [_shrunk_step(app, step) for step in options["chain"]]}
    return options


def _shrunk_step(app: Celery, step: dict[str, Any]) -> dict[str, Any]:
    options = step.get("options") or {}
    if options.get("chord"):
        if not getattr(app.tasks.get(step.get("task")), "track", True):
            raise InvalidJob(f"Task {step['task']!r} is declared track=False: it can't be a member of a chord.")
        options = {**options, "chord": True}
    kwargs = step.get("kwargs") or {}
    if step.get("subtask_type") in ("chord", "group", "chain"):
        kwargs = {name: _shrunk_part(app, value) for name, value in kwargs.items()}
    return {**step, "options": options, "kwargs": kwargs}


def _shrunk_part(app: Celery, value: Any) -> Any:
    """A signature's signatures: its header, body or tasks."""
    if isinstance(value, dict) and "task" in value and "options" in value:
        return _shrunk_step(app, value)
    if isinstance(value, list | tuple):
        return [_shrunk_part(app, one) for one in value]
    return value


def _refuse_unknown(options: dict[str, Any]) -> None:
    stamps = set(options.get("stamped_headers") or ())
    unknown = set(options) - BROKER_OPTIONS - TRAVELLING - COLUMNS - stamps
    for name in sorted(unknown):
        near = difflib.get_close_matches(name, COLUMNS | TRAVELLING, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(sorted(COLUMNS | TRAVELLING))}."
        raise InvalidJob(f"Unknown call option {name!r}.{hint}")
    if options.get("serializer") not in (None, "json"):
        raise InvalidJob(f"serializer={options['serializer']!r} is refused: jobs are JSON. Pass values JSON can carry.")


def limits(options: dict[str, Any]) -> dict[str, float]:
    """The time limits that were given, as the numbers that a worker reckons with. Raises InvalidJob."""
    given = {name: seconds(name, options.get(name)) for name in ("time_limit", "soft_time_limit")}
    kept = {name: limit for name, limit in given.items() if limit is not None}
    for name, limit in kept.items():
        if limit <= 0:
            raise InvalidJob(f"{name}={limit:g} s: a limit must be above 0; leave it out for none.")
    hard, soft = given["time_limit"], given["soft_time_limit"]
    if hard is not None and soft is not None and soft > hard:
        raise InvalidJob(f"soft_time_limit={soft:g} s is above time_limit={hard:g} s: the soft one must come first.")
    return kept


def _check_retries(task: Any, options: dict[str, Any]) -> None:
    for name in ("delay", "backoff", "backoff_max", "for"):
        value = options.get(f"retry_{name}")
        if value is not None and (problem := problem_with(name, value)):
            raise InvalidJob(f"retry_{name}={value!r}: {problem}.")
        if value is not None and name != "for" and _retries_by_itself(task):
            raise InvalidJob(
                f"retry_{name}={value!r} has no effect: {task.name!r} retries by Celery's autoretry_for. "
                "Give the exceptions in retry_on instead."
            )
    if options.get("on_lost") not in (None, *ON_LOST):
        raise InvalidJob(f"on_lost={options['on_lost']!r}: expected one of {', '.join(ON_LOST)}.")


def _retries_by_itself(task: Any) -> bool:
    return bool(getattr(task, "autoretry_for", None)) and not getattr(task, "retry_on", None)


def _queue(app: Celery, options: dict[str, Any]) -> str:
    return queue_name(options.get("queue") or jobs_settings().default_queue)


def queue_name(queue: Any) -> str:
    """The name of a queue, which may be given as kombu's."""
    return queue.name if isinstance(queue, Queue) else str(queue)


def seconds(name: str, value: Any) -> float | None:
    """A duration from a call, seconds. Raises InvalidJob."""
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidJob(f"{name}={value!r} is no number of seconds.") from error
    if not abs(number) <= LONGEST_WAIT:
        raise InvalidJob(f"{name}={value!r} s is out of range; expected at most {LONGEST_WAIT:.0f} s (100 years).")
    return number


def _moment(app: Celery, name: str, value: Any) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        # In UTC, because a moment at the end of the calendar is in range in one zone only.
        return maybe_make_aware(moment, app.timezone).astimezone(UTC)
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise InvalidJob(f"{name}={value!r} is no moment: pass a datetime or an ISO 8601 string.") from error


def _reference(value: Any) -> tuple[str | None, str | None]:
    """A model instance, or a (type, id) pair."""
    return (None, None) if value is None else reference_of(value)


def _max_retries(task: Any, options: dict[str, Any]) -> int | None:
    if "max_retries" in options:
        return options["max_retries"]
    if task is not None and (getattr(task, "autoretry_for", None) or _declares(task, "max_retries")):
        return task.max_retries
    return jobs_settings().default_max_retries


def _declares(task: Any, name: str) -> bool:
    """Whether the task or a base of its own, not the platform's or Celery's, sets an attribute."""
    from .task import JobTask

    for cls in type(task).__mro__:
        if cls is JobTask or cls.__module__.startswith("celery."):
            return False
        if name in vars(cls):
            return True
    return False


def travelling(options: dict[str, Any], task_id: Any) -> str | None:
    """What of its options goes with a job to its worker, as JSON."""
    stamps = options.get("stamped_headers") or ()
    kept = {
        name: value
        for name, value in options.items()
        if (name in TRAVELLING or name in stamps) and value not in (None, [], {}, "")
    }
    for callbacks in ("link", "link_error"):
        if callbacks in kept:
            kept[callbacks] = maybe_list(kept[callbacks])
    if kept.get("replaced_task_nesting") == 0:
        del kept["replaced_task_nesting"]
    if kept.get("ignore_result") is False:
        del kept["ignore_result"]
    if task_id and str(job_key(task_id)) != str(task_id):
        kept["task_id"] = task_id
    if "max_retries" in options:
        kept["max_retries"] = options["max_retries"]  # the call's word, which goes before the task's own rules
    if kept.pop("on_lost", None) == "dead_letter":
        kept = {"on_lost": "dead_letter", **kept}  # first, where `lose` and `front` look for it
    return encode("options", kept) if kept else None
