"""Eager mode would run a task inside its call: it is answered with what tests use instead."""

import pytest
from celery import chain, current_app, group
from django.core.checks import run_checks

from jobs.errors import EagerMode
from jobs.models import Job
from tests.support import shop

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("odd")]


@pytest.fixture
def eager():
    app = current_app._get_current_object()
    app.conf.task_always_eager = True
    yield app
    app.conf.task_always_eager = False


@pytest.mark.parametrize(
    "call",
    [
        lambda app: shop.send.delay("o1"),
        lambda app: shop.send.s("o1").apply_async(),
        lambda app: app.send_task("tests.support.shop.send", ("o1",)),
        lambda app: chain(shop.send.s("o1"), shop.send.s())(),
        lambda app: chain(shop.send.s("o1"), shop.send.s()).apply_async(),
        lambda app: group(shop.send.s("o1"), shop.send.s("o2")).delay(),
        lambda app: shop.send.enqueue_many([["o1"]]),
    ],
    ids=["delay", "signature", "send_task", "chain()", "chain", "group", "many"],
)
def test_eager_mode_is_answered_with_what_to_use(eager, call) -> None:
    with pytest.raises(EagerMode, match=r"In tests, run_jobs\(\) of jobs.testing .* assert_enqueued\(\)"):
        call(eager)
    assert (shop.SAID, Job.objects.exists()) == ([], False)


def test_eager_mode_is_found_by_the_system_checks(eager) -> None:
    assert [problem.id for problem in run_checks() if "run_jobs() and assert_enqueued()" in (problem.hint or "")] == [
        "jobs.E003"
    ]


def test_an_explicit_apply_is_celerys_own(eager, django_assert_num_queries) -> None:
    with django_assert_num_queries(0):
        assert shop.send.apply(("o1",)).get() == "o1"
        assert shop.broken.apply().state == "FAILURE"
        assert shop.asks_again.apply().get() == 1
    assert shop.SAID == ["sent o1 to ann"]
