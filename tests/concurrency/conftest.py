"""What tests of the engine share."""

from collections.abc import Iterator

import pytest

from jobs.engine.link import Link
from tests.support.engine import close_shared_links, opened


@pytest.fixture
def link(transactional_db: None) -> Iterator[Link]:
    """The platform's own connection, on the test database."""
    with opened() as link:
        yield link


@pytest.fixture(autouse=True)
def _no_link_outlives_its_test() -> Iterator[None]:
    yield
    close_shared_links()
