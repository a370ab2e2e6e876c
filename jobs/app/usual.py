"""Calls of a task that differ in nothing but their arguments: one is prepared, the others are like it.

What `alike` is for the members of a group, this is for calls one by one, until a setting changes.
"""

from dataclasses import dataclass, replace
from operator import is_
from typing import Any

from celery import Celery, signals
from kombu.utils.json import loads

from ..engine.like import Like
from ..engine.newjob import NewJob
from ..engine.payload import encode
from .alike import UNSEEN, is_plain, nobody_looks
from .current import current
from .family import Family, family
from .gathering import known
from .options import declared

NEVER = ("task_id", "group_id", "chord", "chain")
"""Options that make a call one of a kind, or one of a group."""


@dataclass(frozen=True, slots=True)
class Usual:
    """A call that was prepared, and all that made its job what it is."""

    task: Any
    names: tuple[str, ...]
    """All its options, in order."""
    shown: tuple[str, ...]
    """Those that its job shows, and their values."""
    values: tuple[Any, ...]
    declared: tuple[Any, ...]
    family: Family | None
    like: Like


def recalled(app: Celery, name: str, task: Any, options: dict[str, Any]) -> Like | None:
    """What the job of a call is like; None: it has to be prepared."""
    kept = app.conf.derived
    usual: Usual | None = kept.get(name)
    # Under one name another task may be registered later, and one task under two names.
    if usual is None or usual.task is not task or signals.before_task_publish.receivers or not _is_alone():
        return None
    # Not ==, to which True is 1.
    if usual.names != tuple(options) or not all(map(is_, usual.values, map(options.__getitem__, usual.shown))):
        return None
    if usual.declared != _declared(task):
        return None
    mine = family(app)
    if usual.family == mine:
        return usual.like
    if (theirs := _called_by(mine, options, usual)) is not None:
        kept[name] = theirs
        return theirs.like
    return None


def _called_by(mine: Family | None, options: dict[str, Any], usual: Usual) -> Usual | None:
    """The call as another run makes it: nothing else in its job says who called."""
    if mine is None or usual.family is None or usual.family.priority != mine.priority:
        return None
    said = loads(usual.like.job.options or "{}")
    like = usual.like.travelling_with(encode("options", {**said, **mine.options(options)}))
    return replace(usual, family=mine, like=like)


def remember(kept: dict[Any, Any], app: Celery, task: Any, options: dict[str, Any], job: NewJob) -> None:
    """Keep a prepared call, if every call with these options would make a job like this one. Raises InvalidJob.

    `kept`: the app's `conf.derived` from before the call was prepared; a setting that changed since has put it away.
    """
    if not job.is_plain or not _is_alone() or not nobody_looks(app) or not is_plain(options):
        return
    # A function of the arguments may give the next call a key.
    if callable(declared(task).get("unique_key")):
        return
    if all(options.get(name) is None for name in NEVER):
        shown = tuple(name for name in options if name not in UNSEEN)
        kept[job.task] = Usual(
            task=task,
            names=tuple(options),
            shown=shown,
            values=tuple(options[name] for name in shown),
            declared=_declared(task),
            family=family(app),
            like=Like(replace(job, args="[]", kwargs="{}")),  # its arguments may be large, or secret
        )


def _is_alone() -> bool:
    """Whether the call is neither gathered with others nor follows from the job that runs."""
    running = current()
    return known() is None and (running is None or not running.following)


def _declared(task: Any) -> tuple[Any, ...]:
    """What a task says of itself that its call's options don't repeat, and that may be changed while it is in use."""
    return task.max_retries, task.autoretry_for if hasattr(task, "autoretry_for") else None
