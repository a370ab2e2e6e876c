"""The system checks name what the platform can't run on, and what to do."""

import pytest
from django.core.checks import run_checks
from django.db import connections
from django.db.utils import load_backend


def said(id_: str) -> list[str]:
    return [f"{found.msg} {found.hint or ''}" for found in run_checks() if found.id == id_]


def test_every_wrong_setting_is_named_at_once(settings) -> None:
    settings.JOBS_POISON_AFTER = 0
    settings.JOBS_AGING = -1
    found = said("jobs.E001")
    assert any("JOBS_POISON_AFTER" in line for line in found), found
    assert any("JOBS_AGING" in line for line in found), found


class ToLite:
    def db_for_write(self, model: type, **hints: object) -> str:
        return "lite"


@pytest.fixture
def lite(settings):
    connections.databases["lite"] = {**connections.databases["default"], "ENGINE": "django.db.backends.sqlite3"}
    connections["lite"] = load_backend("django.db.backends.sqlite3").DatabaseWrapper(
        connections.databases["lite"], "lite"
    )
    settings.DATABASE_ROUTERS = [ToLite()]
    yield
    del connections["lite"], connections.databases["lite"]


def test_jobs_in_another_database_than_postgresql_are_refused(lite: None) -> None:
    assert said("jobs.E002") == [
        "Jobs live in the database alias 'lite', which is sqlite. "
        "Set DATABASE_URL (or DATABASES) to PostgreSQL 15 or newer."
    ]
