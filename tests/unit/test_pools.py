"""Which of Celery's pools a worker may start on."""

from types import SimpleNamespace

import pytest
from celery.concurrency.base import BasePool
from celery.concurrency.prefork import TaskPool as Prefork
from celery.concurrency.solo import TaskPool as Solo
from celery.concurrency.thread import TaskPool as Threads

from jobs.app.pools import limited, refusal
from jobs.conf import JobsSettings


class Greenlets(BasePool):
    __module__ = "celery.concurrency.gevent"


def test_greenlets_are_refused_with_what_to_use() -> None:
    said = refusal(Greenlets, JobsSettings())
    assert said is not None
    assert said.startswith("The pool 'gevent' can't run jobs")
    assert "-P prefork (best), -P threads or -P solo" in said


@pytest.mark.parametrize("pool", [Prefork, Threads, Solo])
def test_processes_and_threads_are_welcome(pool: type) -> None:
    assert refusal(pool, JobsSettings()) is None


@pytest.mark.parametrize("pool", [Threads, Solo])
def test_a_limit_for_all_jobs_is_refused_where_it_could_not_hold(pool: type) -> None:
    said = refusal(pool, JobsSettings(timeout=5, max_memory_per_child=1000))
    assert said is not None
    assert said.startswith("JOBS_TIMEOUT and JOBS_MAX_MEMORY_PER_CHILD can't hold on a worker with a pool of")
    assert refusal(Prefork, JobsSettings(timeout=5, max_memory_per_child=1000)) is None


def test_tasks_whose_limits_will_not_hold_are_named() -> None:
    tasks = [
        SimpleNamespace(name="b.soft", time_limit=None, soft_time_limit=1),
        SimpleNamespace(name="a.hard", time_limit=1, soft_time_limit=None),
        SimpleNamespace(name="c.none", time_limit=None, soft_time_limit=None),
    ]
    assert limited(Threads, tasks) == ["a.hard", "b.soft"]
    assert limited(Prefork, tasks) == []
