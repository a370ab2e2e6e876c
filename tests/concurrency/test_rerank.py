"""Ranking a queue anew while jobs are called, claimed and returned."""

import threading
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from jobs.engine import set_priority
from jobs.engine.dispatch import front
from jobs.engine.enqueue import enqueue
from jobs.engine.link import Link
from jobs.engine.newjob import NewJob
from jobs.engine.ranks import SETTLING, Ranks
from jobs.models import Job, Queue
from tests.support.clock import Clock
from tests.support.engine import opened
from tests.support.threads import together

MINUTE = 60_000_000  # µs
ROUNDS = 40


def test_every_job_ends_with_the_rank_of_the_last_aging(link: Link) -> None:
    Queue.objects.create(name="default", aging_us=MINUTE, ranked_us=MINUTE)
    done = threading.Event()
    for number in range(60):
        enqueue(NewJob(task="t", priority=number % 30))

    def call() -> None:
        for number in range(ROUNDS):
            enqueue(NewJob(task="t", priority=number % 30))

    def claim_and_return() -> None:
        with opened("claims") as own:
            for _ in range(ROUNDS):
                token = uuid4()
                with own.transaction():
                    ids = [found.id for found in front(own, "default", limit=5)]
                    tokens = [token] * len(ids)
                    own.rows("dispatch", queue="default", routing_key="x", ids=ids, tokens=tokens, places=None)
                own.rows("give_back", ids=ids, token=token)

    def operate() -> None:
        for number in range(ROUNDS // 4):
            Queue.objects.update(aging_us=MINUTE * (number + 2))
            set_priority([Job.objects.order_by("?").values_list("pk", flat=True)[0]], number, actor="ada")
        done.set()

    def rank(clock: Clock, ranks: Ranks) -> None:
        while not done.is_set():
            ranks.step()
            clock.now += SETTLING

    with opened("ranks") as own:
        clock = Clock()
        ranks = Ranks(own, clock=clock)
        together(call, claim_and_return, operate, lambda: rank(clock, ranks))
        for _ in range(20):
            while ranks.step():
                pass
            clock.now += SETTLING
    queue = Queue.objects.get()
    assert queue.ranked_us == queue.aging_us == MINUTE * (ROUNDS // 4 + 1)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    wrong = [
        job.pk
        for job in Job.objects.filter(state="pending")
        if job.rank != (job.ready_at - epoch) // timedelta(microseconds=1) - job.priority * queue.aging_us
    ]
    assert wrong == []
    assert Job.objects.filter(state="pending").count() == 60 + ROUNDS
