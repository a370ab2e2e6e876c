"""What fetches amount to, without a database: outcomes, windows, thresholds, settings."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.core.exceptions import ImproperlyConfigured

from jobs.tasks.blocking import Outcome, check, cleanup, outcome_of
from jobs.tasks.blocking.conf import BlockingSettings, blocking_settings
from jobs.tasks.blocking.rates import Rates, advice, hour_of, window
from tests.integration.test_checks import said


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((status, Outcome.SUCCEEDED) for status in (200, 204, 299, 304)),
        *((status, Outcome.BLOCKED) for status in (403, 429, 451)),
        *((status, Outcome.FAILED) for status in (None, 199, 300, 302, 401, 404, 407, 500, 503)),
    ],
)
def test_a_status_says_what_came_of_a_fetch(status: int | None, outcome: Outcome) -> None:
    assert outcome_of(status) is outcome


@pytest.mark.parametrize(
    ("succeeded", "refused", "below"),
    [(8, 2, False), (7, 2, True), (0, 5, True), (0, 4, False), (3, 1, False), (5, 0, False)],
)
def test_a_domain_is_below_only_under_the_threshold_and_after_enough_fetches(
    succeeded: int, refused: int, below: bool
) -> None:
    rates = Rates(domain="a.example", succeeded=succeeded, blocked=refused, failed=0)
    assert rates.is_below(0.8, min_fetches=5) is below


def test_a_threshold_of_nothing_names_nobody() -> None:
    assert not Rates(domain="a.example", succeeded=0, blocked=9, failed=0).is_below(0, min_fetches=1)


def test_advice_is_about_what_there_is_more_of() -> None:
    assert "refuses this client" in advice(Rates(domain="a", succeeded=0, blocked=3, failed=2))
    assert "does not answer" in advice(Rates(domain="a", succeeded=0, blocked=2, failed=3))


def test_an_hour_begins_in_utc_also_where_the_clock_is_half_an_hour_off() -> None:
    india = timezone(timedelta(hours=5, minutes=30))
    assert hour_of(datetime(2026, 3, 1, 10, 15, tzinfo=india)) == datetime(2026, 3, 1, 4, tzinfo=UTC)


@pytest.mark.parametrize("minute", [0, 59])
def test_a_window_is_the_running_hour_and_those_before_it(minute: int) -> None:
    first, last = window(datetime(2026, 3, 1, 10, minute, 59, tzinfo=UTC), 24)
    assert (first, last) == (datetime(2026, 2, 28, 10, tzinfo=UTC), datetime(2026, 3, 1, 10, tzinfo=UTC))


def test_the_defaults_are_sound() -> None:
    assert BlockingSettings() == BlockingSettings(window_hours=24, threshold=0.8, min_fetches=5, days=30)
    assert BlockingSettings().problems() == []
    assert BlockingSettings(days=0, window_hours=1000).problems() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threshold", 80),
        ("threshold", -0.1),
        ("threshold", float("nan")),
        ("min_fetches", 0),
        ("days", -1),
        ("days", 10**6),
        ("window_hours", 0),
        ("window_hours", 24 * 30 + 1),
        ("window_hours", "a day"),
    ],
)
def test_a_value_that_can_not_work_is_refused_by_its_name(settings, name: str, value: object) -> None:
    setattr(settings, f"BLOCKING_{name.upper()}", value)
    with pytest.raises(ImproperlyConfigured, match=f"BLOCKING_{name.upper()}"):
        blocking_settings()


def test_settings_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLOCKING_DAYS", "7")
    blocking_settings.cache_clear()
    assert blocking_settings().days == 7
    blocking_settings.cache_clear()


@pytest.mark.django_db
def test_a_start_with_wrong_settings_of_these_tasks_names_them_all(settings) -> None:
    settings.BLOCKING_DAYS, settings.TEMPFILES_FOLDERS, settings.JOBS_POISON_AFTER = -1, ["/"], 0
    found = " ".join(said("jobs.E001"))
    assert all(name in found for name in ("BLOCKING_DAYS", "TEMPFILES_FOLDERS", "JOBS_POISON_AFTER"))


@pytest.mark.parametrize(("task", "name"), [(check, "blocking.check"), (cleanup, "blocking.cleanup")])
def test_the_tasks_are_final_at_their_first_failure(task, name: str) -> None:
    assert (task.name, task.max_retries, task.dead_letter) == (name, 0, False)
