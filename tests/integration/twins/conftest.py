"""One connection for all twins, in place of pytest-django's: emptied by hand, which is many times quicker."""

from collections.abc import Iterator
from typing import Any

import pytest

from jobs.engine import sql
from jobs.engine.link import Link
from tests.support.engine import empty_tables, hasten, opened


@pytest.fixture(scope="module")
def db(django_db_setup: None, django_db_blocker: Any) -> Iterator[Link]:
    with django_db_blocker.unblock(), opened() as link:
        hasten(link)
        yield link


@pytest.fixture
def link(db: Link) -> Iterator[Link]:
    yield db
    sql.statement.cache_clear()
    empty_tables(db)
