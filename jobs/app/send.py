"""Where every call ends: `delay`, `apply_async`, `send_task`, signatures, beat, the admin."""

from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from celery import Celery, signals
from celery.app.task import extract_exec_options
from celery.utils.time import maybe_make_aware
from kombu.utils.json import loads

from ..engine.like import enqueue_like
from ..engine.newjob import NewJob, check, job_key, priority_number
from ..engine.payload import encode
from ..errors import EagerMode, InvalidJob
from ..wire import UNTRACKED
from . import usual
from .alike import copied, remember
from .current import Again, Current, current
from .family import family
from .gathering import insert, once, waits_for
from .options import BROKER_OPTIONS, TRAVELLING, declared, limits, new_job, queue_name, seconds, shrunk, travelling
from .shapes import check_shapes

publishing: ContextVar[bool] = ContextVar("jobs_publishing", default=False)
"""Whether a message of an untracked task is on its way to the broker."""


def send(app: Celery, stock: Callable, name: str, args: Any, kwargs: Any, options: dict[str, Any]) -> Any:
    """Insert a job, unless the call is a retry of the running one or the task is not tracked."""
    task = options.get("task_type") or app.tasks.get(name)
    if task is not None and not getattr(task, "track", True):
        return _published(stock, name, args, kwargs, options)
    # With a task at hand, Celery itself has looked.
    if "task_type" not in options and app.conf.task_always_eager:
        raise EagerMode(name)
    if "task_type" not in options and task is not None:
        own = {key: value for key, value in extract_exec_options(task).items() if value is not None}
        options = {**own, **options}
    running = current()
    if running is not None and options.get("task_id") == running.task_id and not running.replaced:
        return _again(app, running, args, kwargs, options)
    task_id, queue = _inserted(app, name, args, kwargs, task, options)
    if signals.after_task_publish.receivers:
        signals.after_task_publish.send(
            sender=name,
            body=(args, kwargs, {}),
            exchange="",
            routing_key=queue,
            headers={"id": task_id, "task": name},
        )
    return _result(app, str(task_id), options)


def _inserted(app: Celery, name: str, args: Any, kwargs: Any, task: Any, options: dict[str, Any]) -> tuple[str, str]:
    """The id that the call's job has, and its queue."""
    like = usual.recalled(app, name, task, options)
    if like is not None:
        texts = (encode("args", list(args)) if args else "[]", encode("kwargs", dict(kwargs)) if kwargs else "{}")
        return enqueue_like(like, *texts), like.job.queue
    kept = app.conf.derived
    job = prepared(app, name, args, kwargs, task, options)
    if task is not None:
        usual.remember(kept, app, task, options, job)
    key = insert(job)
    return (key == job.id and options.get("task_id")) or str(key), job.queue


def prepared(app: Celery, name: str, args: Any, kwargs: Any, task: Any, options: dict[str, Any]) -> NewJob:
    """The job of a call, after what task, routes and site add to its options. Raises InvalidJob."""
    if options.get("chord"):
        options = {**options, "chord": True}  # its body is stored once, with the chord
    if (job := copied(name, args, kwargs, options)) is not None:
        return job
    check_shapes(options)
    given = options
    if task is not None:
        options = {**once(f"declared by {task.name}", lambda: declared(task)), **options}
    options = _routed(app, name, args, kwargs, task, options)
    options = shrunk(app, {**options, **limits({**options, **_site_limits(app, options)})})
    options = _with_family(app, _signalled(name, args, kwargs, options))
    job = new_job(app, name, args, kwargs, task, options)
    _in_canvas(job, options)
    remember(app, given, options, job)
    return job


def _published(stock: Callable, name: str, args: Any, kwargs: Any, options: dict[str, Any]) -> Any:
    """An untracked task's message; nobody would count its end, or give it a chord's results."""
    if waits_for() is not None or options.get("chord"):
        raise InvalidJob(f"Task {name!r} is declared track=False: it can't be a member or the body of a chord.")
    if not options.get("queue"):
        options["queue"] = UNTRACKED
    token = publishing.set(True)
    try:
        return stock(name, args, kwargs, **options)
    finally:
        publishing.reset(token)


def _in_canvas(job: NewJob, options: dict[str, Any]) -> None:
    """The chord that a job is a member of, and the one it waits for: its countdown and expiry count from then."""
    if options.get("chord") and options.get("group_id"):
        job.chord = _group_key(options["group_id"])
    job.after = waits_for()
    if job.unique_key is not None and (job.chord or job.after):
        raise InvalidJob(
            f"Task {job.task!r} has a unique_key: another job may stand for it, so it can't be in a chord. "
            "Pass unique_key=False to its signature."
        )
    if job.after is not None and (job.delay is not None or job.expires is not None):
        kept = loads(job.options) if job.options else {}
        later = {"countdown": job.delay, "expires": job.expires}
        job.options = encode("options", {**kept, **{name: s for name, s in later.items() if s is not None}})
        job.delay = job.expires = None


@lru_cache(maxsize=16)
def _group_key(group_id: str) -> UUID:
    """The same for ten thousand members."""
    return job_key(group_id)


def _again(app: Celery, running: Current, args: Any, kwargs: Any, options: dict[str, Any]) -> Any:
    """`self.retry()`: nothing is written now, the outcome will say it; a rollback in the task can't undo it."""
    if options.get("retries", 0) <= running.run.retries:
        raise InvalidJob("A running job can't be called under its own id: use self.retry() or self.replace().")
    delay = seconds("countdown", options.get("countdown")) or 0.0
    if options.get("eta") is not None:
        delay = (maybe_make_aware(options["eta"], app.timezone) - datetime.now(UTC)).total_seconds()
    again = Again(max(0.0, delay), encode("args", list(args or ())), encode("kwargs", dict(kwargs or {})))
    if running.retry_options:
        _change(again, running, running.retry_options)
    running.again = again
    return _result(app, running.task_id, options)


MAY_CHANGE = TRAVELLING | BROKER_OPTIONS | {"queue", "priority"}
"""Options that `self.retry()` takes for the next run."""


def _change(again: Again, running: Current, given: dict[str, Any]) -> None:
    """What the next run has otherwise than this one. Raises InvalidJob for what a retry can't change."""
    for name in sorted(set(given) - MAY_CHANGE):
        raise InvalidJob(f"self.retry({name}=…) is not possible: a retry keeps it. Call self.replace() to change it.")
    run = running.run
    queue, priority = given.get("queue") or given.get("routing_key"), given.get("priority")
    again.queue = None if queue is None else queue_name(queue)
    again.priority = None if priority is None else priority_number(priority)
    check(NewJob(task=run.task, queue=again.queue or run.queue))
    check_shapes(given)
    options = {**run.options, **given}
    again.options = travelling({**options, **limits(options)}, running.task_id)


def _routed(app: Celery, name: str, args: Any, kwargs: Any, task: Any, options: dict[str, Any]) -> dict[str, Any]:
    """`task_routes` and `queue=` choose the queue, as in Celery; a routing key alone names a queue."""
    if options.get("queue") is None and isinstance(options.get("routing_key"), str):
        options = {**options, "queue": options["routing_key"]}
    if not once("routes", lambda: {"all": app.conf.task_routes})["all"]:
        if options.get("queue") is not None:
            return options
        if options.get("exchange") is None:
            return {**options, **once("default route", lambda: app.amqp.router.route({}, name))}
    # The router drops options that are None, and None may be a wish: max_retries=None is no limit.
    return {**options, **app.amqp.router.route(dict(options), options.get("route_name") or name, args, kwargs, task)}


def _site_limits(app: Celery, options: dict[str, Any]) -> dict[str, Any]:
    """Celery's `task_time_limit` and `task_soft_time_limit`, for tasks and calls that give none."""
    names = {"time_limit": "task_time_limit", "soft_time_limit": "task_soft_time_limit"}
    of_site = once("limits", lambda: {name: app.conf[setting] for name, setting in names.items()})
    return {name: limit for name, limit in of_site.items() if limit is not None and options.get(name) is None}


def _with_family(app: Celery, options: dict[str, Any]) -> dict[str, Any]:
    """Root and parent of a job that is called inside another."""
    known = family(app)
    if known is None or (options.get("root_id") and options.get("parent_id")):
        return options
    added = known.options(options)
    if app.conf.task_inherit_parent_priority and options.get("priority") is None:
        added["priority"] = known.priority
    return {**options, **added}


def _signalled(name: str, args: Any, kwargs: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Let instrumentation add its headers, as it does before a publish; they come back in the worker."""
    if not signals.before_task_publish.receivers:
        return options
    headers = dict(options.get("headers") or {})
    signals.before_task_publish.send(
        sender=name,
        body=(args, kwargs, {}),
        exchange="",
        routing_key=str(options.get("queue") or ""),
        headers=headers,
        properties={},
        declare=[],
        retry_policy=None,
    )
    return {**options, "headers": headers}


def _result(app: Celery, task_id: str, options: dict[str, Any]) -> Any:
    result = (options.get("result_cls") or app.AsyncResult)(task_id)
    result.ignored = options.get("ignore_result")
    if options.get("add_to_parent", True) and (parent := app.current_worker_task) is not None:
        parent.add_trail(result)
    return result
