"""`task.enqueue_many(rows)`: many calls of one task."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from celery.app.task import extract_exec_options

from ..engine.enqueue import enqueue_all
from ..engine.many import enqueue_copies
from ..engine.newjob import NewJob
from ..engine.payload import encode
from ..errors import InvalidJob
from .alike import nobody_looks
from .options import declared
from .send import prepared


@dataclass(frozen=True, slots=True)
class Call:
    """One call with options of its own, such as `unique_key`, `task_id`, `tags` or `countdown`."""

    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


Row = Sequence[Any] | Mapping[str, Any] | Call


def enqueue_many(task: Any, rows: Iterable[Row], **options: Any) -> list[str]:
    """Insert one job for each row, all or none, in the caller's transaction. Returns their ids, in order.

    A row is a sequence of positional arguments, a mapping of keyword arguments, or a `Call` with both and with options
    of its own; `options` are those of every call. Rows that differ in nothing but their arguments are written by COPY.
    Raises InvalidJob, naming the row, QueueFull, DuplicateJob and UniqueBusy; nothing is written then.
    """
    if not getattr(task, "track", True):
        raise InvalidJob(f"Task {task.name!r} is declared track=False, so no job stands for it: call it row by row.")
    if "task_id" in options:
        raise InvalidJob("task_id can't be that of every row: pass rows as Call(args, kwargs, {'task_id': …}).")
    rows = list(rows)
    given = {name: value for name, value in extract_exec_options(task).items() if value is not None}
    given = {**given, **declared(task), **options}
    if given.get("unique_key") is None and _are_alike(task.app, rows):
        return enqueue_copies(prepared(task.app, task.name, (), {}, task, given), _arguments(task, rows))
    return [str(key) for key in enqueue_all([_job(task, number, row, given) for number, row in enumerate(rows)])]


def _are_alike(app: Any, rows: Sequence[Row]) -> bool:
    """Whether the rows differ in nothing but their arguments, and nobody looks at each call."""
    return nobody_looks(app) and not any(isinstance(row, Call) for row in rows)


def _arguments(task: Any, rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    for number, row in enumerate(rows):
        args, kwargs = _checked(task, number, row)
        try:
            yield encode("args", args) if args else "[]", encode("kwargs", kwargs) if kwargs else "{}"
        except InvalidJob as error:
            raise InvalidJob(f"Row {number}: {error}") from error


def _job(task: Any, number: int, row: Row, options: dict[str, Any]) -> NewJob:
    args, kwargs = _checked(task, number, row)
    own = row.options if isinstance(row, Call) else {}
    try:
        return prepared(task.app, task.name, args, kwargs, task, {**options, **own})
    except InvalidJob as error:
        raise InvalidJob(f"Row {number}: {error}") from error


def _checked(task: Any, number: int, row: Row) -> tuple[list, dict]:
    """Arguments as `delay()` would check them. Raises InvalidJob."""
    if isinstance(row, Call):
        args, kwargs = list(row.args), dict(row.kwargs)
    elif isinstance(row, Mapping):
        args, kwargs = [], dict(row)
    elif isinstance(row, Sequence) and not isinstance(row, str | bytes):
        args, kwargs = list(row), {}
    else:
        raise InvalidJob(
            f"Row {number} is {row!r:.80}: pass a sequence of positional arguments, a mapping of keyword arguments, or "
            "a Call."
        )
    if task.typing:
        try:
            task.__header__(*args, **kwargs)
        except TypeError as error:
            raise InvalidJob(f"Row {number}: task {task.name!r} does not take these arguments: {error}.") from error
    return args, kwargs
