"""`app.conf` remembers what it found, and never after it changed."""

import pytest
from django.test import override_settings

from jobs.app import JobsCelery
from jobs.app.conf import RememberedSettings


@pytest.fixture
def app() -> JobsCelery:
    app = JobsCelery("apart", set_as_current=False)
    app.config_from_object("django.conf:settings", namespace="CELERY")
    assert app.conf.task_time_limit is None
    return app


def assign(conf) -> None:
    conf.task_time_limit = 7


def update(conf) -> None:
    conf.update(task_time_limit=7)


def set_default(conf) -> None:
    conf.add_defaults({"task_time_limit": 7})


@pytest.mark.parametrize("change", [assign, update, set_default])
def test_a_change_of_a_celery_setting_is_seen_at_once(app, change) -> None:
    change(app.conf)
    assert app.conf.task_time_limit == app.conf["task_time_limit"] == 7


@pytest.mark.parametrize(
    "undo", [lambda conf: conf.pop("task_time_limit"), lambda conf: conf.__delitem__("task_time_limit"), dict.clear]
)
def test_what_is_taken_back_is_what_it_was_before(app, undo) -> None:
    app.conf.task_time_limit = 7
    assert app.conf.task_time_limit == 7
    app.conf.clear() if undo is dict.clear else undo(app.conf)
    assert app.conf.task_time_limit is None


def test_a_change_of_a_django_setting_is_seen_at_once(app) -> None:
    with override_settings(CELERY_TASK_TIME_LIMIT=7):
        assert app.conf.task_time_limit == 7
    assert app.conf.task_time_limit is None


def test_an_app_that_is_configured_anew_remembers_nothing_of_before(app) -> None:
    app.config_from_object({"task_time_limit": 7}, force=True)
    assert isinstance(app.conf, RememberedSettings)
    assert app.conf.task_time_limit == 7


def test_what_is_set_before_the_settings_are_read_is_kept(settings) -> None:
    app = JobsCelery("apart", set_as_current=False)
    app.conf.task_time_limit = 7
    app.config_from_object("django.conf:settings", namespace="CELERY")
    settings.CELERY_TASK_SOFT_TIME_LIMIT = 3
    assert (app.conf.task_time_limit, app.conf.task_soft_time_limit) == (7, 3)


def test_no_such_setting_is_an_error_each_time(app) -> None:
    for _ in range(2):
        with pytest.raises(AttributeError, match="no_such_setting"):
            _ = app.conf.no_such_setting
    app.conf.no_such_setting = 1
    assert app.conf.no_such_setting == 1
