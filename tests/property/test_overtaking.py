"""Nothing that becomes ready more than (difference in priority) × aging after a job overtakes it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.engine.dispatch import front
from jobs.engine.enqueue import enqueue
from jobs.engine.link import Link
from jobs.engine.newjob import NewJob
from jobs.engine.ranks import SETTLING, Ranks
from jobs.models import Job, Queue
from jobs.models.jobs import STRICT_AGING
from tests.support.clock import Clock
from tests.support.engine import opened
from tests.support.rows import make_job

START = datetime(2026, 1, 1, tzinfo=UTC)
AGINGS = st.sampled_from([0, 1, 1_000_000, 360_000_000, 10**12, STRICT_AGING])
JOBS = st.lists(
    st.tuples(st.integers(-100, 100), st.integers(0, 10**12)), min_size=2, max_size=12
)  # (priority, µs after START)


@pytest.fixture
def link(transactional_db: None) -> Iterator[Link]:
    with opened() as link:
        yield link


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(aging_us=AGINGS, jobs=JOBS)
def test_nobody_overtakes_by_more_than_the_difference_in_priority_times_the_aging(
    link: Link, aging_us: int, jobs: list[tuple[int, int]]
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM jobs_job; DELETE FROM jobs_queue")
    Queue.objects.create(name="default", aging_us=aging_us)
    for priority, after in jobs:
        make_job(priority=priority, ready_at=START + timedelta(microseconds=after), rank=0)
    clock = Clock()
    ranks = Ranks(link, clock=clock)
    for _ in range(3):
        while ranks.step():
            pass
        clock.now += SETTLING
    order = [Job.objects.get(pk=found.id) for found in front(link, "default", limit=100)]
    assert len(order) == len(jobs)
    for place, job in enumerate(order):
        for overtaken in order[place + 1 :]:
            later = (job.ready_at - overtaken.ready_at) // timedelta(microseconds=1)
            assert later <= (job.priority - overtaken.priority) * aging_us, "it overtook beyond the bound"
    if aging_us == STRICT_AGING:
        for job, next_ in pairwise(order):
            assert (-job.priority, job.ready_at) <= (-next_.priority, next_.ready_at)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(aging_us=AGINGS, priorities=st.lists(st.integers(-100, 100), min_size=1, max_size=6))
def test_a_call_and_a_promotion_rank_as_a_walk_would(link: Link, aging_us: int, priorities: list[int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM jobs_job; DELETE FROM jobs_queue")
    Queue.objects.create(name="default", aging_us=aging_us)
    for number, priority in enumerate(priorities):
        make_job(state="scheduled", priority=priority, run_at=START + timedelta(seconds=number))
        enqueue(NewJob(task="t", priority=priority))
    link.rows("promote", limit=100, aging_us=1)
    before = dict(Job.objects.values_list("pk", "rank"))
    ranks = Ranks(link)
    while ranks.step():
        pass
    assert dict(Job.objects.values_list("pk", "rank")) == before
