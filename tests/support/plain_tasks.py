"""Tasks that show how they are run: what they see of it, and hooks of every kind."""

from typing import Any

from celery import Task, current_task, shared_task
from celery.app.trace import trace_ok_t

from jobs.app.task import JobTask

TOLD: list[Any] = []
"""What hooks were told, in this process."""


@shared_task(bind=True)
def sees_itself(self) -> list[Any]:
    """What `self.request` holds, but for ids and times, and whether Celery knows the task that runs."""
    shown = {name: repr(value) for name, value in vars(self.request).items() if name not in IDS}
    return [shown, current_task.name == self.name, self.request.called_directly]


IDS = ("id", "root_id", "correlation_id", "_children", "expires")


class Breaking(JobTask):
    abstract = True

    def on_failure(self, *args: Any) -> None:
        raise LookupError("on_failure itself")


@shared_task(base=Breaking)
def fails_in_on_failure() -> None:
    raise ValueError("no luck")


class Wrapping(JobTask):
    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return ["wrapped", super().__call__(*args, **kwargs)]


@shared_task(base=Wrapping)
def wrapped() -> str:
    return "body"


class Telling(JobTask):
    abstract = True

    def before_start(self, *args: Any) -> None:
        TOLD.append("before_start")

    def on_success(self, *args: Any) -> None:
        TOLD.append("on_success")

    def after_return(self, *args: Any) -> None:
        TOLD.append("after_return")


@shared_task(base=Telling)
def tells() -> None:
    """Nothing."""


@shared_task(track_started=True)
def tracked() -> None:
    """Nothing."""


def traced_elsewhere(name: str, task: Task, *_: Any, **__: Any) -> Any:
    """A tracer as monitoring libraries put it in the place of Celery's."""

    def trace(*_: Any) -> Any:
        TOLD.append(name)
        return trace_ok_t("from elsewhere", None, 0.0, "")

    return trace
