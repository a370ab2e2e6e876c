"""A task declared track=False is stock Celery's: a message of its own, a result in django-celery-results, no job."""

from pathlib import Path

from django_celery_results.models import TaskResult

from jobs.models import AuditEntry, Job
from jobs.wire import ANY_QUEUE
from tests.support.fleet import Fleet
from tests.support.wait import wait_until

CALL = """
import sys, django
django.setup()
from tests.support.tasks import add, untracked
print(untracked.delay(sys.argv[1]).id)
# A tracked task's name on our queue, written by somebody who reached the broker:
from celery import current_app
with current_app.connection_for_write() as connection:
    current_app.amqp.Producer(connection).publish(
        [[1, 2], {}, {}], routing_key="%s", exchange="", serializer="json",
        headers={"task": add.name, "id": "forged", "lang": "py", "root_id": "forged"},
    )
"""


def test_an_untracked_task_runs_and_a_forged_message_does_not(fleet: Fleet, tmp_path: Path) -> None:
    fleet.worker()
    (tmp_path / "call.py").write_text(CALL % ANY_QUEUE)
    call = fleet.start("call", str(tmp_path / "call.py"), str(tmp_path / "ledger"))
    assert call.wait(30) == 0, Path(fleet.log("call")).read_text()
    task_id = Path(fleet.log("call")).read_text().split()[-1]
    wait_until(lambda: TaskResult.objects.filter(task_id=task_id, status="SUCCESS").exists(), what="its result")
    assert (tmp_path / "ledger").read_text() == task_id
    wait_until(AuditEntry.objects.filter(action="refuse_message").exists, what="the refusal on record")
    assert not Job.objects.exists()
