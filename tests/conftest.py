"""What every test may use."""

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import kombu
import pytest
from django.db import connection
from django.test import TransactionTestCase

from jobs.engine.link import Link
from tests.support.engine import close_shared_links, opened
from tests.support.fleet import Fleet, Valkey


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("JOBSITE_TESTS") != "1":
        # Without it the tests would run against the site's own broker.
        pytest.exit("Start the tests with: python3 manage.py test [pytest's arguments]", returncode=2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("rabbitmq"):
            item.add_marker(pytest.mark.xdist_group("rabbitmq"))  # its queues have the same names for all


@pytest.fixture(scope="session", autouse=True)
def _quick_flush() -> None:
    """Between tests, tables are emptied by DELETE: they hold a few rows, and TRUNCATE makes every file of them anew.

    What migrating made for each model stays, as after a flush, which makes it again.
    """
    TransactionTestCase._fixture_teardown = _delete_all


def _delete_all(self: TransactionTestCase) -> None:
    with connection.cursor() as cursor:
        cursor.execute("; ".join(f'DELETE FROM "{table}"' for table in _tables()))


@cache
def _tables() -> list[str]:
    kept = {"django_content_type", "auth_permission"}
    return [name for name in connection.introspection.django_table_names(only_existing=True) if name not in kept]


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
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches count to the end, however slow the machine is just now."""
    for name in ("SOON", "BRIEFLY"):
        monkeypatch.setattr(f"jobs.search.ways.{name}", 10.0)


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
