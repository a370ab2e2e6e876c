"""The engine on a real database against a model of it, under anything that producers, workers and operators may do."""

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from celery import current_app
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from jobs.engine.broker import Broker
from jobs.engine.dispatch import Dispatcher
from tests.support.engine import close_shared_links, empty, opened
from tests.support.lifecycle import Lifecycle, World, settings_of_test

EXAMPLES = int(os.environ.get("JOBSITE_TEST_EXAMPLES", "25"))
"""Runs of the machine; thousands of them for a long search."""
STEPS = int(os.environ.get("JOBSITE_TEST_STEPS", "50"))


@pytest.fixture
def world(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    # A commit that reaches the disk a little later changes nothing here and is several times quicker.
    monkeypatch.setenv("PGOPTIONS", "-c synchronous_commit=off")
    broker = Broker(current_app._get_current_object())
    empty(broker)
    with ExitStack() as stack:
        links = [stack.enter_context(opened(f"jobs tests {name}")) for name in ("A", "B", "worker", "producer", "eye")]
        pair = [Dispatcher(link, broker, settings_of_test()) for link in links[:2]]
        for dispatcher in pair:
            dispatcher.durations._seconds["short"] = 0.001
        yield World((pair[0], pair[1]), *links[2:], broker)
    empty(broker)
    broker.close()
    close_shared_links()


def test_whatever_happens_the_database_is_what_the_model_says(world: World) -> None:
    run_state_machine_as_test(
        lambda: Lifecycle(world),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
