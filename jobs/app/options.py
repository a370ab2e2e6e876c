"""Celery's call options as a job: what becomes a column, what travels, what is refused."""

import difflib
from datetime import UTC, datetime
from typing import Any

from celery import Celery
from celery.utils.time import maybe_make_aware
from kombu import Queue
from kombu.utils.functional import maybe_list

from ..conf import jobs_settings
from ..engine.enqueue import LONGEST_WAIT, NewJob, encode, encode_tags, job_key, new_id, priority_number
from ..errors import InvalidJob

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
        "tags",
        "reference",
        "created_by",
        "serializer",
    }
)


def new_job(app: Celery, name: str, args: Any, kwargs: Any, task: Any, options: dict[str, Any]) -> NewJob:
    """A validated job. Raises InvalidJob before any SQL."""
    _refuse_unknown(options)
    _check_limits(options)
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
        options=_travelling(options, task_id),
        tags=encode_tags(options.get("tags")),
        reference_type=reference_type,
        reference_id=reference_id,
        created_by=options.get("created_by"),
    )


def _refuse_unknown(options: dict[str, Any]) -> None:
    stamps = set(options.get("stamped_headers") or ())
    unknown = set(options) - BROKER_OPTIONS - TRAVELLING - COLUMNS - stamps
    for name in sorted(unknown):
        near = difflib.get_close_matches(name, COLUMNS | TRAVELLING, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(sorted(COLUMNS | TRAVELLING))}."
        raise InvalidJob(f"Unknown call option {name!r}.{hint}")
    if options.get("serializer") not in (None, "json"):
        raise InvalidJob(f"serializer={options['serializer']!r} is refused: jobs are JSON. Pass values JSON can carry.")
    later = options.get("chain") or ()
    if options.get("chord") is not None or any(step.get("task") == "celery.chord" for step in later):
        raise InvalidJob("Chords are not supported yet: use a chain, or a group and read its results.")


def _check_limits(options: dict[str, Any]) -> None:
    hard, soft = (seconds(name, options.get(name)) for name in ("time_limit", "soft_time_limit"))
    for name, limit in (("time_limit", hard), ("soft_time_limit", soft)):
        if limit is not None and limit <= 0:
            raise InvalidJob(f"{name}={limit:g} s: a limit must be above 0; leave it out for none.")
    if hard is not None and soft is not None and soft > hard:
        raise InvalidJob(f"soft_time_limit={soft:g} s is above time_limit={hard:g} s: the soft one must come first.")


def _queue(app: Celery, options: dict[str, Any]) -> str:
    queue = options.get("queue") or jobs_settings().default_queue
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
    if value is None:
        return None, None
    if hasattr(value, "_meta"):
        if value.pk is None:
            raise InvalidJob(f"reference={value!r} is not saved yet: it has no primary key.")
        return value._meta.label_lower, str(value.pk)
    try:
        if isinstance(value, str):
            raise TypeError("a string")
        kind, key = value
    except (TypeError, ValueError) as error:
        raise InvalidJob(f"reference={value!r}: pass a model instance or a (type, id) pair.") from error
    return str(kind), str(key)


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


def _travelling(options: dict[str, Any], task_id: Any) -> str | None:
    names = TRAVELLING | set(options.get("stamped_headers") or ())
    kept = {name: options[name] for name in names if options.get(name) not in (None, [], {}, "")}
    for callbacks in ("link", "link_error"):
        if callbacks in kept:
            kept[callbacks] = maybe_list(kept[callbacks])
    if kept.get("replaced_task_nesting") == 0:
        del kept["replaced_task_nesting"]
    if kept.get("ignore_result") is False:
        del kept["ignore_result"]
    if task_id and str(job_key(task_id)) != str(task_id):
        kept["task_id"] = task_id
    return encode("options", kept) if kept else None
