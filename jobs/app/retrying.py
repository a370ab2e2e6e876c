"""Whether and when the platform retries a failed run: what the call said, else the task, else the settings."""

import logging
import math
import random
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from celery.exceptions import Retry

from ..conf import CENTURY, jobs_settings
from ..errors import InvalidTask
from ..policy import RetryRule, Verdict, judge_failure, nearest, seconds_to_wait

if TYPE_CHECKING:
    from ..engine.execute import Run

logger = logging.getLogger("jobs")

NUMBERS = ("delay", "backoff", "backoff_max", "max_retries")
"""What a rule of `retry_on` may hold."""
NEVER = object()
ON_LOST = ("retry", "dead_letter")


def verdict(task: Any, run: "Run", error: BaseException, *, now: datetime) -> Verdict:
    """What the platform's policy says of a failure."""
    rule = rule_for(task, run, error)
    if rule is None:
        return Verdict(None)
    return judge_failure(
        run.retries,
        rule,
        now=now,
        until=retry_until(run),
        least=asked_wait(error, now),
        spread=jobs_settings().retry_jitter,
        dice=random.random(),
    )


def rule_for(task: Any, run: "Run", error: BaseException) -> RetryRule | None:
    """How that failure of the run is retried; None: not at all.

    A task that names its exceptions in `autoretry_for` retries those by itself, so of the others only what it names in
    `retry_on`.
    """
    never = dict.fromkeys((*_listed(task, "no_retry_for"), *_listed(task, "dont_autoretry_for")), NEVER)
    rule = nearest(error, {**never, **(getattr(task, "retry_on", None) or {})})
    by_itself = getattr(task, "autoretry_for", None) and not isinstance(error, Retry)
    if rule is NEVER or (rule is None and by_itself):
        return None
    rule = rule or {}
    return RetryRule(
        delay=_number("delay", run, rule, task),
        backoff=_number("backoff", run, rule, task),
        backoff_max=_number("backoff_max", run, rule, task),
        max_retries=run.max_retries if "max_retries" in run.options else rule.get("max_retries", run.max_retries),
    )


def retry_until(run: "Run") -> datetime | None:
    """When the run's time for retries ends."""
    return datetime.fromisoformat(run.retry_until) if run.retry_until else None


def asked_wait(error: BaseException, now: datetime) -> float:
    """Seconds that an exception asks to wait, bounded by JOBS_RETRY_AFTER_MAX; 0 if it asks for none.

    It asks by `retry_after`, or by the Retry-After header of its response, as the errors of HTTP clients do.
    """
    try:
        value = _retry_after(error)
        return 0.0 if value is None else min(jobs_settings().retry_after_max, seconds_to_wait(value, now))
    except Exception as problem:  # whatever an object of the task's own does when it is looked at
        logger.warning("Retry-After is ignored: %s", problem, extra={"exception": type(error).__qualname__})
        return 0.0


def _retry_after(error: BaseException) -> Any:
    value = getattr(error, "retry_after", None)
    if value is None:
        answer = getattr(error, "response", None)
        headers: Any = getattr(error if answer is None else answer, "headers", None)
        value = headers.get("Retry-After") if hasattr(headers, "get") else None
    return value


def _listed(task: Any, name: str) -> tuple[type, ...]:
    return tuple(getattr(task, name, None) or ())


def _number(name: str, run: "Run", rule: Mapping[str, Any], task: Any) -> float:
    given = (run.options.get(f"retry_{name}"), rule.get(name), own_number(task, name))
    return float(next((value for value in given if value is not None), getattr(jobs_settings(), f"retry_{name}")))


def own_number(task: Any, name: str) -> Any:
    """A number of the task's own policy; under one of Celery's names only if the task has no use of Celery's for it."""
    value = getattr(task, f"retry_{name}", None)
    celerys = name in ("backoff", "backoff_max") and (getattr(task, "autoretry_for", None) or isinstance(value, bool))
    return None if celerys else value


def problem_with(name: str, value: Any) -> str | None:
    """What is wrong with one number of a retry policy, under the name without its `retry_`; None: nothing."""
    if name == "max_retries":
        whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31
        return None if value is None or whole else "expected a whole number from 0 to 2³¹, or None for no limit"
    least, most, unit = (1.0, math.inf, "a factor") if name == "backoff" else (0.0, CENTURY, "seconds")
    sound = isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
    if sound and value < math.inf and (name != "for" or value > 0):
        return None
    return f"expected {unit}, {'above 0' if name == 'for' else f'{least:g} or more'}"


def check_task(task: Any) -> None:
    """Raises InvalidTask, when a task is registered, for a retry policy that can't work."""
    for name in ("delay", "for", "backoff", "backoff_max"):
        value = own_number(task, name)
        if value is not None and (problem := problem_with(name, value)):
            raise InvalidTask(f"Task {task.name!r}: retry_{name}={value!r}; {problem}.")
    if getattr(task, "on_lost", "retry") not in ON_LOST:
        raise InvalidTask(f"Task {task.name!r}: on_lost={task.on_lost!r}; expected one of {', '.join(ON_LOST)}.")
    never = _listed(task, "no_retry_for")
    rules = getattr(task, "retry_on", None) or {}
    if not isinstance(rules, Mapping):
        raise InvalidTask(f"Task {task.name!r}: retry_on={rules!r}; expected exception classes with their numbers.")
    for kind in (*never, *rules):
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise InvalidTask(f"Task {task.name!r}: {kind!r} is no exception class.")
    for kind, rule in rules.items():
        if kind in never:
            raise InvalidTask(f"Task {task.name!r}: {kind.__name__} stands in retry_on and in no_retry_for.")
        _check_rule(f"Task {task.name!r}: retry_on[{kind.__name__}]", rule)


def _check_rule(where: str, rule: Any) -> None:
    if not isinstance(rule, Mapping) or set(rule) - set(NUMBERS):
        raise InvalidTask(f"{where} is {rule!r}; expected a dict of {', '.join(NUMBERS)}.")
    for name, value in rule.items():
        if problem := problem_with(name, value):
            raise InvalidTask(f"{where}: {name}={value!r}; {problem}.")
