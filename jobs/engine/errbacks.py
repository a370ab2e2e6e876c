"""What follows from a loss that is final: nobody ran to call the job's `link_error`, so a job of its own does."""

from collections.abc import Sequence
from uuid import UUID

from kombu.utils.json import dumps, loads

from ..wire import ERRBACKS
from .enqueue import enqueue_in
from .link import Rows
from .newjob import NewJob


def call_errbacks(link: Rows, ids: Sequence[UUID]) -> None:
    """Insert one job for each of these dead letters that has errbacks, in the transaction that is open.

    A job, because an errback may be the site's own code: the dispatcher must not run that, a worker's child does.
    """
    if not ids:
        return
    jobs = []
    for id_, queue, priority, error, options in link.rows("errbacks", ids=list(ids)):
        given = loads(options)
        if given.get("link_error"):
            task_id = given.get("task_id") or str(id_)
            root_id = given.get("root_id") or task_id
            jobs.append(
                NewJob(
                    task=ERRBACKS,
                    queue=queue,
                    priority=priority,
                    args=dumps([task_id, root_id, error, given["link_error"]]),
                    options=dumps({"root_id": root_id, "parent_id": task_id}),
                )
            )
    if jobs:
        enqueue_in(link, jobs)
