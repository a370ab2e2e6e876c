"""The dispatcher's slow work, seen with a real one."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from jobs.models import Job, Queue
from jobs.models.jobs import STRICT_AGING
from tests.support.fleet import Fleet
from tests.support.rows import make_job
from tests.support.wait import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_dispatcher_ranks_a_queue_anew_and_deletes_what_is_old(fleet: Fleet) -> None:
    now = datetime.now(UTC)
    Queue.objects.create(name="default", ranked_us=360_000_000)
    low, high = make_job(priority=1, ready_at=now - timedelta(days=1)), make_job(priority=2, ready_at=now)
    old = make_job(state="completed", finished_at=now - timedelta(days=8))
    fleet.dispatcher()
    wait_until(lambda: not Job.objects.filter(pk=old).exists(), within=60, what="the old job is deleted")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_queue SET aging_us = %s", [STRICT_AGING])
    wait_until(lambda: Queue.objects.get().ranked_us == STRICT_AGING, within=60, what="the queue is in its new order")
    assert list(Job.objects.order_by("rank").values_list("pk", flat=True)) == [high, low]
