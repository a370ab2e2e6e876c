"""Settings: typed, with every problem at once."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from jobs.conf import JobsSettings, jobs_settings


@pytest.fixture(autouse=True)
def _fresh():
    jobs_settings.cache_clear()
    yield
    jobs_settings.cache_clear()


def test_the_defaults_are_sound() -> None:
    assert JobsSettings().problems() == []


def test_a_setting_comes_from_django_then_from_the_environment(settings, monkeypatch) -> None:
    monkeypatch.setenv("JOBS_POLL_INTERVAL", "0.5")
    monkeypatch.setenv("JOBS_CARRIER_MAX", "7")
    settings.JOBS_CARRIER_MAX = 9
    assert (jobs_settings().poll_interval, jobs_settings().carrier_max) == (0.5, 9)


@pytest.mark.parametrize(("text", "value"), [("1", True), ("off", False), ("TRUE", True), (False, False)])
def test_a_switch_is_read_from_its_usual_words(settings, text: object, value: bool) -> None:
    settings.JOBS_NOTIFY = text
    assert jobs_settings().notify is value


def test_all_problems_are_named_at_once(settings) -> None:
    settings.JOBS_POLL_INTERVAL = "soon"
    settings.JOBS_NOTIFY = "perhaps"
    settings.JOBS_WORKER_TIMEOUT = 5
    settings.JOBS_DEFAULT_PRIORITY = 400
    with pytest.raises(ImproperlyConfigured) as problem:
        jobs_settings()
    said = str(problem.value)
    assert "JOBS_POLL_INTERVAL is 'soon'; expected float." in said
    assert "JOBS_NOTIFY is 'perhaps'; expected bool." in said
    assert "JOBS_WORKER_TIMEOUT (5 s) must exceed twice JOBS_HEARTBEAT_INTERVAL (10 s)" in said
    assert "JOBS_DEFAULT_PRIORITY is 400; expected -100 to 100." in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("poll_interval", 0),
        ("poll_interval", float("nan")),
        ("heartbeat_interval", float("inf")),
        ("aging", 0),
        ("aging", 10**10),
        ("carrier_max", 0),
        ("poison_after", 0),
        ("completed_days", -1),
        ("dead_letter_cap", 10**7),
        ("retry_delay", -1),
        ("retry_delay", float("nan")),
        ("retry_backoff", 0.9),
        ("retry_backoff", float("nan")),
        ("retry_jitter", -0.1),
        ("retry_jitter", 20),
        ("retry_for", -1),
        ("retry_after_max", float("inf")),
        ("retry_after_max", 1e12),
        ("retry_backoff_max", 1e12),
        ("reject_delay", -1),
        ("unknown_task_retries", -1),
        ("max_payload", 0),
        ("max_result", 0),
        ("default_max_retries", -1),
        ("default_queue", ""),
        ("aging", 2.5),
        ("aging", [1]),
        ("worker_timeout", None.__class__),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_its_name(settings, name: str, value: object) -> None:
    setattr(settings, f"JOBS_{name.upper()}", value)
    with pytest.raises(ImproperlyConfigured, match=f"JOBS_{name.upper()}"):
        jobs_settings()
