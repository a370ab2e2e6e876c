"""What the producer calls: single jobs, chains, links, chords and unique ones, with what the ledger is told of each."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any
from uuid import uuid4

from celery import chain, chord

from . import ledger, tasks

SINGLE = {
    **{"noop": 800, "short": 130, "reporting": 25, "flaky": 30, "doomed": 10, "long": 4},
    **{"paying": 40, "snoozing": 10, "once": 15},
}
IN_CANVAS = {"noop": 20, "short": 10, "flaky": 10, "paying": 20, "once": 10, "doomed": 3}
"""Weights of the kinds, alone and as a part of something."""
SHAPES = {"single": 940, "steps": 20, "linked": 10, "with_body": 15, "with_key": 15}
"""Weights."""
MOST_STEPS, MOST_MEMBERS, KEYS = 5, 12, 4


@dataclass(frozen=True, slots=True)
class Call:
    lines: list[tuple[str, str, object]]
    """For the ledger, before it is sent."""
    send: Callable[[], object]

    @property
    def jobs(self) -> list[str]:
        return [job for word, job, _ in self.lines if word == "wish"]


def draw(dice: random.Random, queues: Sequence[str]) -> Call:
    """One call, by chance."""
    return {"single": single, "steps": steps, "linked": linked, "with_body": with_body, "with_key": with_key}[
        pick(dice, SHAPES)
    ](dice, queues)


def single(dice: random.Random, queues: Sequence[str], kind: str | None = None) -> Call:
    kind = kind or pick(dice, SINGLE)
    args = [round(dice.uniform(1.0, 3.0), 2)] if kind == "long" else []
    countdown = dice.uniform(0.1, 2.0) if dice.random() < 0.03 else None
    job = str(uuid4())
    task = _task(kind)
    return Call(
        [("wish", job, kind)],
        partial(task.apply_async, args, countdown=countdown, task_id=job, **_lane(dice, queues)),
    )


def steps(dice: random.Random, queues: Sequence[str]) -> Call:
    """A chain; each step is given its number and the result of the step before."""
    parts = [_part(dice, queues, number) for number in range(dice.randint(2, MOST_STEPS))]
    jobs = [part.options["task_id"] for part in parts]
    after = [("after", job, before) for before, job in pairwise(jobs)]
    return Call([*_wishes(parts), *after], chain(*parts).apply_async)


def linked(dice: random.Random, queues: Sequence[str]) -> Call:
    """A call with a callback."""
    first, second = (_part(dice, queues, number) for number in (0, 1))
    relation = ("linked", second.options["task_id"], first.options["task_id"])
    return Call([*_wishes([first, second]), relation], first.set(link=second).apply_async)


def with_body(dice: random.Random, queues: Sequence[str]) -> Call:
    """A chord; each member returns its number."""
    members = [_part(dice, queues, number) for number in range(dice.randint(1, MOST_MEMBERS))]
    body = tasks.collect.s(len(members)).set(task_id=str(uuid4()), **_lane(dice, queues))
    relations = [("body", member.options["task_id"], body.options["task_id"]) for member in members]
    return Call([*_wishes([*members, body]), *relations], chord(members, body).apply_async)


def with_key(dice: random.Random, queues: Sequence[str]) -> Call:
    """A call with one of few unique keys; it may get the id of another one, or take its place."""
    job, key = str(uuid4()), f"key-{dice.randrange(KEYS)}"
    options = {"unique_key": key, "on_conflict": dice.choice(("existing", "existing", "replace"))}

    def send() -> None:
        got = tasks.unique.apply_async(task_id=job, **options, **_lane(dice, queues)).id
        if got != job:
            ledger.write([("holder", job, got)])

    return Call([("wish", job, "unique"), ("key", job, key)], send)


def pick(dice: random.Random, weights: dict[str, int]) -> str:
    return dice.choices(list(weights), list(weights.values()))[0]


def _part(dice: random.Random, queues: Sequence[str], number: int) -> Any:
    signature = _task(pick(dice, IN_CANVAS)).s(number)
    return signature.set(task_id=str(uuid4()), **_lane(dice, queues))


def _wishes(parts: Sequence[Any]) -> list[tuple[str, str, object]]:
    return [("wish", part.options["task_id"], part.task.rpartition(".")[2]) for part in parts]


def _lane(dice: random.Random, queues: Sequence[str]) -> dict[str, Any]:
    return {"queue": dice.choice(queues), "priority": dice.randint(0, 30)}


def _task(kind: str) -> Any:
    return getattr(tasks, kind)
