"""Where every call ends: `delay`, `apply_async`, `send_task`, signatures, beat, the admin."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from celery import Celery, signals
from celery.app.task import extract_exec_options
from celery.utils.time import maybe_make_aware

from ..engine.enqueue import check, encode, enqueue
from ..errors import InvalidJob
from ..wire import UNTRACKED
from .current import Again, Current, current
from .options import new_job, seconds


def send(app: Celery, stock: Callable, name: str, args: Any, kwargs: Any, options: dict[str, Any]) -> Any:
    """Insert a job, unless the call is a retry of the running one or the task is not tracked."""
    task = options.get("task_type") or app.tasks.get(name)
    if task is not None and not getattr(task, "track", True):
        if not options.get("queue"):
            options["queue"] = UNTRACKED
        return stock(name, args, kwargs, **options)
    if "task_type" not in options and task is not None:
        declared = {key: value for key, value in extract_exec_options(task).items() if value is not None}
        options = {**declared, **options}
    running = current()
    if running is not None and options.get("task_id") == running.task_id:
        return _again(app, running, args, kwargs, options)
    options = _routed(app, name, args, kwargs, task, options)
    options = {**options, **_site_limits(app, options)}
    job = new_job(app, name, args, kwargs, task, _with_family(app, _signalled(name, args, kwargs, options)))
    task_id = options.get("task_id") or str(job.id)
    if running is not None and running.following:
        check(job)
        running.next_jobs.append(job)
    else:
        enqueue(job)
    if signals.after_task_publish.receivers:
        signals.after_task_publish.send(
            sender=name,
            body=(args, kwargs, {}),
            exchange="",
            routing_key=job.queue,
            headers={"id": task_id, "task": name},
        )
    return _result(app, str(task_id), options)


def _again(app: Celery, running: Current, args: Any, kwargs: Any, options: dict[str, Any]) -> Any:
    """`self.retry()`: nothing is written now, the outcome will say it; a rollback in the task can't undo it."""
    if options.get("retries", 0) <= running.run.retries:
        raise InvalidJob("self.replace() is not supported yet: call the other task and return its id.")
    delay = seconds("countdown", options.get("countdown")) or 0.0
    if options.get("eta") is not None:
        delay = (maybe_make_aware(options["eta"], app.timezone) - datetime.now(UTC)).total_seconds()
    running.again = Again(max(0.0, delay), encode("args", list(args or ())), encode("kwargs", dict(kwargs or {})))
    return _result(app, running.task_id, options)


def _routed(app: Celery, name: str, args: Any, kwargs: Any, task: Any, options: dict[str, Any]) -> dict[str, Any]:
    """`task_routes` and `queue=` choose the queue, as in Celery; a routing key alone names a queue."""
    if options.get("queue") is None and isinstance(options.get("routing_key"), str):
        options = {**options, "queue": options["routing_key"]}
    if options.get("queue") is not None and not app.conf.task_routes:
        return options
    # The router drops options that are None, and None may be a wish: max_retries=None is no limit.
    return {**options, **app.amqp.router.route(dict(options), options.get("route_name") or name, args, kwargs, task)}


def _site_limits(app: Celery, options: dict[str, Any]) -> dict[str, Any]:
    """Celery's `task_time_limit` and `task_soft_time_limit`, for tasks and calls that give none."""
    names = {"time_limit": "task_time_limit", "soft_time_limit": "task_soft_time_limit"}
    return {
        name: app.conf[setting]
        for name, setting in names.items()
        if options.get(name) is None and app.conf[setting] is not None
    }


def _with_family(app: Celery, options: dict[str, Any]) -> dict[str, Any]:
    """Root and parent of a job that is called inside another."""
    parent = app.current_worker_task
    if parent is None or (options.get("root_id") and options.get("parent_id")):
        return options
    request = parent.request
    family = {
        "root_id": options.get("root_id") or request.root_id or request.id,
        "parent_id": options.get("parent_id") or request.id,
    }
    if app.conf.task_inherit_parent_priority and options.get("priority") is None:
        family["priority"] = (request.delivery_info or {}).get("priority")
    return {**options, **family}


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
