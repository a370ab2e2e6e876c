"""`python -m jobsite.soak.producer`: calls tasks in transactions that commit, roll back, or end nobody knows how."""

import os
import random
import signal
import time
from contextlib import nullcontext

import django

from jobs.errors import UniqueBusy

QUEUES = "JOBSITE_SOAK_QUEUES"
SEED = "JOBSITE_SOAK_SEED"
BACKLOG = "JOBSITE_SOAK_BACKLOG"
"""Environment variable: pending jobs above which it waits."""
ROLLED_BACK = 0.08
"""Share of transactions that are rolled back on purpose."""


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
    from .calls import draw

    count = dice.choice((1, 1, 5, 20, 50, 100))
    chosen = [draw(dice, queues) for _ in range(count)]
    jobs = [job for call in chosen for job in call.jobs]
    ledger.write(line for call in chosen for line in call.lines)
    outcome = "committed"
    try:
        with transaction.atomic() if count > 1 else nullcontext():
            for call in chosen:
                call.send()
            if count > 1 and dice.random() < ROLLED_BACK:
                raise ChangedMind
    except (ChangedMind, UniqueBusy):
        outcome = "rolled_back"
    ledger.write((outcome, job, "-") for job in jobs)


if __name__ == "__main__":
    main()
