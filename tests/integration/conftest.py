"""What tests of the engine share."""

from collections.abc import Iterator

import pytest
from celery import current_app

from jobs.engine.broker import Broker
from jobs.engine.link import Link
from tests.support.engine import close_shared_links, empty, opened


@pytest.fixture
def link(transactional_db: None) -> Iterator[Link]:
    """The platform's own connection, on the test database."""
    with opened() as link:
        yield link


@pytest.fixture(autouse=True)
def _no_link_outlives_its_test() -> Iterator[None]:
    yield
    close_shared_links()


@pytest.fixture
def broker() -> Iterator[Broker]:
    broker = Broker(current_app._get_current_object())
    empty(broker)
    yield broker
    empty(broker)
    broker.close()
