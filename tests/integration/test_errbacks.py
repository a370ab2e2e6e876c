"""What is called when a job fails for good: `link_error` in every shape that canvas has."""

from collections.abc import Callable

import pytest
from celery import chain, chord, group, shared_task

from jobs.conf import jobs_settings
from jobs.engine.link import Link
from jobs.engine.maintenance import lose
from jobs.engine.newjob import job_key
from jobs.models import Job
from jobs.states import State
from tests.support.engine import drain, won
from tests.support.tasks import fail

SAID: list = []


@pytest.fixture(autouse=True)
def _silence() -> None:
    SAID.clear()


@shared_task
def tell(*args):
    SAID.append(args)
    return len(args)


@shared_task
def tell_id(task_id):
    SAID.append((task_id,))
    return f"told {task_id}"


ERRBACKS: dict[str, tuple[Callable, Callable]] = {
    "a chain": (lambda: chain(tell_id.s(), tell.s()), lambda id_: [(id_,), (f"told {id_}",)]),
    "an immutable chain": (lambda: chain(tell.si(1), tell.si(2)), lambda id_: [(1,), (2,)]),
    "a group": (lambda: group(tell_id.s(), tell.si(2)), lambda id_: [(id_,), (2,)]),
    "a chord": (lambda: chord([tell_id.s(), tell.si(2)], tell.s()), lambda id_: [(id_,), (2,), ([f"told {id_}", 1],)]),
    "a list": (lambda: [chain(tell_id.s(), tell.si(2)), tell.si(3)], lambda id_: [(id_,), (2,), (3,)]),
    "chains": (lambda: chain(chain(tell_id.s(), tell.s()), tell.si(3)), lambda id_: [(id_,), (f"told {id_}",), (3,)]),
}


@pytest.mark.parametrize("shape", ERRBACKS)
def test_an_errback_of_any_shape_is_called_with_the_id_of_the_job_that_failed(link: Link, shape: str) -> None:
    errback, says = ERRBACKS[shape]
    result = fail.apply_async(link_error=errback(), max_retries=0)
    drain(link)
    assert sorted(SAID, key=str) == sorted(says(result.id), key=str)
    assert Job.objects.exclude(pk=job_key(result.id)).exclude(state=State.COMPLETED).count() == 0


@pytest.mark.parametrize("shape", ERRBACKS)
def test_so_it_is_after_a_loss_that_is_final(link: Link, shape: str) -> None:
    errback, says = ERRBACKS[shape]
    result = fail.apply_async(link_error=errback(), on_lost="dead_letter")
    lose(link, won(link, [job_key(result.id)]), jobs_settings(), won=True, begun=None, reason="its worker died")
    drain(link)
    assert sorted(SAID, key=str) == sorted(says(result.id), key=str)
