"""The Celery side: `JobsCelery` is a Celery app whose calls become job rows.

Nothing here imports models at import time: a project makes its app before Django's registry is ready.
"""

from functools import cached_property, wraps
from inspect import iscoroutinefunction
from typing import Any

from celery import Celery, signals
from celery.utils.text import str_to_list

from ..errors import InvalidJob
from ..wire import ANY_QUEUE, CARRIER, ERRBACKS, UNTRACKED
from .conf import RememberedSettings
from .coroutines import synchronous
from .wishes import JobDiscarded, JobSnoozed

__all__ = ["JobDiscarded", "JobSnoozed", "JobsCelery"]

DEFAULTS = {
    "task_serializer": "json",
    "result_serializer": "json",
    "accept_content": ["json"],
    "result_accept_content": ["json"],
    "result_backend": "jobs.app.backend:JobBackend",
    "result_expires": None,
    "task_default_queue": "default",
    "task_ignore_result": False,
    "task_track_started": False,
    "task_store_errors_even_if_ignored": True,
    # Early ack, no redelivery: the lease in the database is the only clock.
    "task_acks_late": False,
    "task_reject_on_worker_lost": False,
    "worker_consumer": "jobs.app.consumer:JobsConsumer",
    "worker_prefetch_multiplier": 1,
    "worker_disable_rate_limits": True,
    "worker_lost_wait": 2.0,
    "worker_proc_alive_timeout": 30,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_pool_limit": None,
    # RabbitMQ may take a lost connection for alive: it would refuse an exclusive mailbox to the next one, which ends
    # the worker.
    "control_queue_exclusive": False,
}
REDIS_OPTIONS = {
    # The database holds the truth, so a message needs no acknowledgement: one BRPOP instead of three round trips.
    "ack_emulation": False,
    "body_encoding": "utf-8",
    "socket_timeout": 30,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 15,
}


GUARD = "jobs.app.carrier:guard"


class JobsCelery(Celery):
    """Celery whose tracked tasks are jobs: `delay()` inserts a row, the broker only carries leases."""

    task_cls = "jobs.app.task:JobTask"
    amqp_cls = "jobs.app.following:FollowingAMQP"
    control_cls = "jobs.app.control:JobsControl"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        pending: Any = self._conf
        self._conf: Any = RememberedSettings(pending.changes, prefix=pending.prefix, keys=pending._keys)
        self.add_defaults(DEFAULTS)
        self.task(name=CARRIER, Strategy="jobs.app.carrier:strategy")(_carrier)
        self.task(name=ERRBACKS, bind=True)(_errbacks)

    def send_task(self, name: str, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Insert a job row in the caller's transaction and return its AsyncResult; see Celery for the options."""
        from .send import send  # models are ready only after the app was made

        return send(self, super().send_task, name, args, kwargs, options)

    def producer_or_acquire(self, producer: Any = None) -> Any:
        """What Celery wraps the calls of a group in: they are inserted together, and no broker is asked."""
        from .gathering import gathering  # models are ready only after the app was made
        from .send import publishing

        if publishing.get() or self.conf.task_always_eager:
            return super().producer_or_acquire(producer)
        return gathering()

    @cached_property
    def AsyncResult(self) -> Any:
        return self.subclass_with_self("jobs.app.results:JobResult", name="AsyncResult", reverse="AsyncResult")

    @cached_property
    def GroupResult(self) -> Any:
        return self.subclass_with_self("jobs.app.results:JobGroupResult", name="GroupResult", reverse="GroupResult")

    @cached_property
    def ResultSet(self) -> Any:
        return self.subclass_with_self("jobs.app.results:JobResultSet", name="ResultSet")

    def _load_config(self) -> Any:
        if self._conf is None:  # to be configured anew: Celery would make settings of its own kind
            self._conf = RememberedSettings({}, prefix=self.namespace)
        return super()._load_config()

    def _task_from_fun(self, fun: Any, name: Any = None, base: Any = None, **options: Any) -> Any:
        # A base class of the project's own may come straight from Celery: its messages must be refused all the same.
        if base is not None and not issubclass(base, self.Task) and options.get("Strategy") is None:
            options["Strategy"] = GUARD
        if iscoroutinefunction(fun):
            if options.get("atomic"):
                raise InvalidJob(
                    f"Task {fun.__qualname__!r} is async, so it can't be atomic=True: asynchronous Django has no "
                    "transactions. Make it a plain function, or call one with self.commit() in it by sync_to_async()."
                )
            fun = synchronous(fun)
        options["dont_autoretry_for"] = _not_retried(options, base or self.Task)
        return _atomic(super()._task_from_fun(fun, name, base, **options))

    def register_task(self, task: Any, **options: Any) -> Any:
        kind: Any = task if isinstance(task, type) else type(task)
        if not issubclass(kind, self.Task):
            kind.Strategy = GUARD
        options["dont_autoretry_for"] = _not_retried(options, kind)
        return _atomic(super().register_task(task, **options))

    def _connection(self, url: str, *args: Any, **kwargs: Any) -> Any:
        scheme = str(url or "").split(":", 1)[0].split("+", 1)[0]
        if scheme in {"redis", "rediss", "sentinel"}:
            kwargs["transport_options"] = {
                **REDIS_OPTIONS,
                **self.conf.broker_transport_options,
                **(kwargs.get("transport_options") or {}),
            }
        return super()._connection(url, *args, **kwargs)


def _not_retried(options: dict[str, Any], base: Any) -> tuple[type[BaseException], ...]:
    """What the platform doesn't retry, Celery's autoretry_for must not retry either."""
    names = ("dont_autoretry_for", "no_retry_for")
    return tuple(kind for name in names for kind in options.get(name) or getattr(base, name, None) or ())


def _atomic(task: Any) -> Any:
    """A task declared `atomic=True` runs as one block of `commit()`, what it returns is the block's result."""
    body = task.run
    if not getattr(task, "atomic", False) or hasattr(body, "__atomic__"):
        return task

    @wraps(body)
    def run(*args: Any, **kwargs: Any) -> Any:
        from .commit import commit  # models are ready only after the app was made

        with commit(task) as done:
            done.result = body(*args, **kwargs)
        return done.result

    run.__atomic__ = True  # type: ignore[attr-defined]
    task.run = run
    return task


def _carrier(*_: Any) -> None:
    raise RuntimeError(f"{CARRIER} is run by the worker's strategy, never as a task.")


def _errbacks(self: Any, *said: Any) -> None:
    from .failing import call_errbacks_of_lost  # models are ready only now

    call_errbacks_of_lost(self.backend, *said)


@signals.celeryd_init.connect(weak=False, dispatch_uid="jobs.steward")
def _prepare_worker(sender: str, instance: Any, conf: Any, options: dict, **_: Any) -> None:
    if isinstance(instance.app, JobsCelery):
        from .steward import Steward  # models are ready only now

        # A list from the command line; in code, Celery takes a text with commas too.
        instance.served_queues = str_to_list(options.get("queues")) or None
        instance.app.steps["worker"].add(Steward)
        if str(conf.broker_url or conf.broker_read_url or "").startswith("redis"):
            conf.worker_disable_prefetch = True


@signals.celeryd_after_setup.connect(weak=False, dispatch_uid="jobs.queues")
def _consume_any_queue(sender: str, instance: Any, **_: Any) -> None:
    if isinstance(instance.app, JobsCelery) and instance.served_queues is None:
        instance.app.amqp.queues.select([ANY_QUEUE, UNTRACKED])
