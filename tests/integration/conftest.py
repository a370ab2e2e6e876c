"""What tests of the engine share."""

from collections.abc import Iterator
from typing import Any

import pytest
from celery import current_app
from django.test import Client

from jobs.engine.broker import Broker
from tests.support.admin import VIEWER, signed_in
from tests.support.api import TOKEN, client
from tests.support.engine import empty
from tests.support.feed_server import FeedServer, feed_server
from tests.support.odd_tasks import SEEN
from tests.support.shop import SAID


@pytest.fixture
def broker() -> Iterator[Broker]:
    broker = Broker(current_app._get_current_object())
    empty(broker)
    yield broker
    empty(broker)
    broker.close()


@pytest.fixture
def odd(settings: Any) -> None:
    """The tests' tasks have kept nothing yet, and who asks for no retry gets none, as in stock Celery."""
    SEEN.clear()
    SAID.clear()
    settings.JOBS_DEFAULT_MAX_RETRIES = 0
    settings.JOBS_RETRY_DELAY = 1.0


@pytest.fixture
def api(settings: Any) -> Client:
    """A client that has the token."""
    settings.ADMIN_API_TOKEN = TOKEN
    return client()


@pytest.fixture
def server() -> Iterator[FeedServer]:
    with feed_server() as running:
        yield running


@pytest.fixture
def viewer(db: None) -> Client:
    return signed_in(*VIEWER)


@pytest.fixture
def operator(db: None) -> Client:
    return signed_in(*VIEWER, "requeue_job", "change_queue")


@pytest.fixture
def superuser(db: None) -> Client:
    return signed_in(superuser=True)
