"""Steps of a chain that never come because a step before them ended without completing: stored as failed."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import UUID

from kombu.utils.json import dumps, loads

from ..errors import InvalidJob
from .newjob import job_key

LONGEST_REASON = 2_000
"""Characters that are quoted of the error that a chain ended with."""


def abandon(rows: Callable[..., list[tuple]], ids: Sequence[UUID]) -> None:
    """Store the later steps of the chains that ended with these jobs, in the transaction that `rows` runs in.

    `rows(name, **parameters)` runs a statement. Jobs that completed, are live or were no step of a chain say nothing.
    """
    if not ids:
        return
    for id_, task, queue, priority, state, error, result, options in rows("ended_chains", ids=list(ids)):
        steps = {step[0]: step for step in _later_steps(loads(options)["chain"], queue, priority)}
        if steps:
            names = ("ids", "tasks", "queues", "priorities", "args", "kwargs", "options", "chords")
            said = (error or state)[:LONGEST_REASON]
            rows(
                "abandon",
                **dict(zip(names, map(list, zip(*steps.values(), strict=True)), strict=True)),
                result=result if state in ("failed", "dead_letter") else None,
                error=f"not run: {task} ({id_}), a step before it, ended as {state}: {said}",
            )


def _later_steps(chain: list[dict], queue: str, priority: int) -> Iterator[tuple]:
    """Rows of the jobs that were to come, as far as their ids are known: somebody may wait for them."""
    for step in (plain for signature in chain for plain in _plain(signature)):
        options = step.get("options") or {}
        task_id = options.get("task_id")
        if not task_id:
            continue
        try:
            key = job_key(task_id)
            chord = job_key(options["group_id"]) if options.get("chord") and options.get("group_id") else None
        except InvalidJob:
            continue
        kept = {name: options[name] for name in ("group_id", "group_index", "root_id", "chord") if options.get(name)}
        if str(key) != str(task_id):
            kept["task_id"] = task_id
        yield (
            key,
            step["task"],
            options.get("queue") or queue,
            priority,
            dumps(list(step.get("args") or ())),
            dumps(dict(step.get("kwargs") or {})),
            dumps(kept) if kept else None,
            chord,
        )


def _plain(signature: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The tasks that a step's result comes from: of a chord its body, of a group every member, of a chain its steps."""
    kwargs = signature.get("kwargs") or {}
    match signature.get("subtask_type"):
        case "chord":
            yield from _plain(kwargs.get("body") or {})
        case "group" | "chain":
            for member in kwargs.get("tasks") or ():
                yield from _plain(member)
        case _ if signature.get("task"):
            yield signature
