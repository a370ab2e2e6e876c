"""Celery's remote control, where it speaks of jobs."""

from typing import Any

from celery.app.control import Control

from ..engine.control import cancel
from ..engine.link import jobs_alias
from ..engine.newjob import job_key
from ..models import Job


class JobsControl(Control):
    def revoke(
        self, task_id: str | list[str], destination: Any = None, terminate: bool = False, *args: Any, **kwargs: Any
    ) -> Any:
        """Cancel jobs, with `terminate` running ones too; `AsyncResult.revoke()` and Flower end here.

        Only ids that are no jobs, those of untracked tasks, are told to the workers over the broker.
        """
        ids = [task_id] if isinstance(task_id, str) else list(task_id)
        keys = {job_key(id_): id_ for id_ in ids}
        jobs = set(Job.objects.using(jobs_alias()).filter(pk__in=keys).values_list("pk", flat=True))
        if jobs:
            cancel(sorted(jobs), actor="celery revoke", running=terminate)
        untracked = [id_ for key, id_ in keys.items() if key not in jobs]
        return super().revoke(untracked, destination, terminate, *args, **kwargs) if untracked else None
