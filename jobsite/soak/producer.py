"""`python -m jobsite.soak.producer`: calls tasks in transactions that commit, roll back, or end nobody knows how."""

import os
import random
import signal
import time
from collections.abc import Callable
from uuid import uuid4

import django

QUEUES = "JOBSITE_SOAK_QUEUES"
SEED = "JOBSITE_SOAK_SEED"
BACKLOG = "JOBSITE_SOAK_BACKLOG"
"""Environment variable: pending jobs above which it waits."""
ROLLED_BACK = 0.08
"""Share of transactions that are rolled back on purpose."""
KINDS = {"noop": 800, "short": 130, "reporting": 25, "flaky": 30, "doomed": 10, "long": 4}
"""Weights."""


class ChangedMind(Exception):
    """The caller's own error: its transaction is rolled back."""


def main() -> None:
    django.setup()
    # Django's models and the tasks are there only after setup.
    from django.db import Error, connections

    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
    dice = random.Random(f"{os.environ[SEED]} {os.getpid()}")
    queues, most = os.environ[QUEUES].split(","), int(os.environ[BACKLOG])
    while not told:
        try:
            if backlog() > most:
                time.sleep(0.05)
            else:
                for _ in range(10):
                    produce(dice, queues)
        except Error:
            # What it had under way stays unknown in the ledger.
            connections.close_all()
            time.sleep(0.2)


def backlog() -> int:
    from jobs.models import Job

    return Job.objects.filter(state="pending").count()


def produce(dice: random.Random, queues: list[str]) -> None:
    """One transaction with some calls, or one call without a transaction."""
    from django.db import transaction

    from . import ledger

    count = dice.choice((1, 1, 5, 20, 50, 100))
    chosen = dice.choices(list(KINDS), list(KINDS.values()), k=count)
    wishes = [(str(uuid4()), kind) for kind in chosen]
    ledger.write(("wish", job, kind) for job, kind in wishes)
    outcome = "committed"
    if count == 1:
        call(*wishes[0], dice, queues)
    else:
        try:
            with transaction.atomic():
                for job, kind in wishes:
                    call(job, kind, dice, queues)
                if dice.random() < ROLLED_BACK:
                    raise ChangedMind
        except ChangedMind:
            outcome = "rolled_back"
    ledger.write((outcome, job, "-") for job, _ in wishes)


def call(job: str, kind: str, dice: random.Random, queues: list[str]) -> None:
    from . import tasks

    args = [round(dice.uniform(1.0, 3.0), 2)] if kind == "long" else []
    countdown = dice.uniform(0.1, 2.0) if dice.random() < 0.03 else None
    send: Callable = getattr(tasks, kind).apply_async
    send(args, task_id=job, queue=dice.choice(queues), priority=dice.randint(0, 30), countdown=countdown)


if __name__ == "__main__":
    main()
