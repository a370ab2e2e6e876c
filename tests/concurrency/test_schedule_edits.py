"""An edit in the admin while a beat is at work."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections
from django.db.models.signals import pre_save
from django_celery_beat.models import PeriodicTask

from tests.support.admin import signed_in
from tests.support.schedule_admin import send, url_of
from tests.support.schedules import beat, make_due, make_schedule, tick

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def beat_in_between() -> Iterator[None]:
    """A beat looks for what is due while the row is read and not yet written."""

    def look(**_: Any) -> None:
        thread = threading.Thread(target=_look)
        thread.start()
        thread.join(20)
        assert not thread.is_alive()

    pre_save.connect(look, sender=PeriodicTask, weak=False)
    yield
    pre_save.disconnect(look, sender=PeriodicTask)


def _look() -> None:
    try:
        beat().tick()
    finally:
        connections.close_all()


def test_an_edit_does_not_lose_what_the_beat_counts(request: pytest.FixtureRequest) -> None:
    task = make_schedule("nightly", cron="0 2 * * *", args="[1, 2]", task="tests.support.tasks.add")
    client = signed_in(superuser=True)
    make_due(task)
    request.getfixturevalue("beat_in_between")
    assert send(client, url_of(task), when="0 2 * * *", zone="UTC", description="seen").status_code == 302
    tick()
    edited = PeriodicTask.objects.get(pk=task.pk)
    assert (edited.description, edited.total_run_count) == ("seen", 1)
