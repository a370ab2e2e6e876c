"""What every test may use."""

import os
from collections.abc import Iterator
from pathlib import Path

import kombu
import pytest

from tests.support.fleet import Fleet, Valkey


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("JOBSITE_TESTS") != "1":
        # Without it the tests would run against the site's own broker.
        pytest.exit("Start the tests with: python3 manage.py test [pytest's arguments]", returncode=2)


@pytest.fixture(scope="session")
def rabbitmq_url() -> str:
    """A RabbitMQ that answers; skips where there is none, and fails there under CI=true."""
    url = os.environ.get("RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//")
    try:
        with kombu.Connection(url, connect_timeout=3) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
    except Exception as error:
        reason = f"no RabbitMQ answers at RABBITMQ_URL ({kombu.Connection(url).as_uri()}): {error}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return url


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Valkey]:
    """A Valkey of this test alone."""
    valkey = Valkey(tmp_path)
    valkey.start()
    yield valkey
    valkey.kill()


@pytest.fixture
def fleet(transactional_db: None, tmp_path: Path, broker: Valkey) -> Iterator[Fleet]:
    """Real processes on the test database; stopped before it is emptied."""
    processes = Fleet(tmp_path, broker.url)
    yield processes
    processes.stop()
