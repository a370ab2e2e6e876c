"""`manage.py jobs`: run a task and wait for it, wait for a job, look at one."""

import json
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from ... import queries
from ...engine import cancel, requeue
from ...errors import InvalidJob, JobNotFound
from ...models import Job
from ...states import State
from ...submit import submit
from ..following import display, follow

FAILED, USAGE, NOT_FOUND, REFUSED, TIMED_OUT, INTERRUPTED = 1, 2, 3, 4, 7, 130
"""Exit codes; 0 is a completed job."""
ME = "python3 manage.py jobs"


class Command(BaseCommand):
    help = "Run a task as a job and wait for its result, or look at a job."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        run = verbs.add_parser("run", help="submit a job, follow it, print its result as JSON")
        run.add_argument("task", help="name of a registered task")
        run.add_argument("--args", type=_json(list), default=[], dest="job_args", help="JSON array")
        run.add_argument("--kwargs", type=_json(dict), default={}, dest="job_kwargs", help="JSON object")
        run.add_argument("--queue")
        run.add_argument("--priority", type=_priority, help="-100 to 100, or low, normal, high, critical")
        run.set_defaults(does=self.run)
        wait = verbs.add_parser("wait", help="follow a job that exists, print its result as JSON")
        wait.set_defaults(does=self.wait)
        show = verbs.add_parser("show", help="print a job and its attempts as JSON")
        show.set_defaults(does=self.show)
        retry = verbs.add_parser("retry", help="run a job again that failed, expired or was cancelled")
        retry.set_defaults(does=self.retry)
        cancel = verbs.add_parser("cancel", help="end a job that waits, or ask a running one to stop")
        cancel.set_defaults(does=self.cancel)
        for verb in (wait, show, retry, cancel):
            verb.add_argument("job_id")
        for verb in (run, wait):
            verb.add_argument("--timeout", type=_seconds, help="seconds to wait; the job goes on after that")

    def handle(self, *args: Any, does: Callable[..., int], **options: Any) -> None:
        # Most of what goes there is no error: it stays uncoloured.
        self.stderr.style_func = None
        try:
            code = does(**options)
        except JobNotFound as error:
            code = self.refuse(str(error), NOT_FOUND)
        except InvalidJob as error:
            code = self.refuse(str(error), USAGE)
        if code:
            sys.exit(code)

    def run(
        self,
        *,
        task: str,
        job_args: list,
        job_kwargs: dict,
        queue: str | None,
        priority: int | str | None,
        timeout: float | None,
        **_: Any,
    ) -> int:
        job_id = submit(task, job_args, job_kwargs, queue=queue, priority=priority, created_by="manage.py jobs run")
        self.stderr.write(f"job {job_id}")
        return self._follow(job_id, timeout)

    def wait(self, *, job_id: str, timeout: float | None, **_: Any) -> int:
        return self._follow(queries.find_job(job_id).pk, timeout)

    def show(self, *, job_id: str, **_: Any) -> int:
        job = queries.find_job(job_id)
        attempts = list(queries.attempts(job).values("number", "end", "worker", "started_at", "finished_at", "error"))
        self.stdout.write(json.dumps({**queries.describe(job), "history": attempts}, cls=DjangoJSONEncoder, indent=2))
        return 0

    def retry(self, *, job_id: str, **_: Any) -> int:
        job = queries.find_job(job_id)
        if not requeue([job.pk], actor="manage.py jobs retry"):
            return self.refuse(
                f"Job {job.pk} is {job.state}: only one that failed, expired or was cancelled runs again.", REFUSED
            )
        self.stdout.write(f"{job.pk} is pending again. Follow it: {ME} wait {job.pk}")
        return 0

    def cancel(self, *, job_id: str, **_: Any) -> int:
        job = queries.find_job(job_id)
        done = cancel([job.pk], actor="manage.py jobs cancel")
        if not any(done):
            return self.refuse(f"Job {job.pk} is {job.state}: there is nothing left to cancel.", REFUSED)
        asked = f"{job.pk} runs: its worker was asked to stop it. Follow it: {ME} wait {job.pk}"
        self.stdout.write(f"{job.pk} is cancelled." if done.now else asked)
        return 0

    def refuse(self, message: str, code: int) -> int:
        self.stderr.write(message)
        return code

    def _follow(self, job_id: UUID, timeout: float | None) -> int:
        try:
            with display(self.stderr) as show:
                job = follow(job_id, show, timeout=timeout)
        except KeyboardInterrupt:
            return self.refuse(f"Interrupted; the job goes on. Look at it: {ME} wait {job_id}", INTERRUPTED)
        if not job.is_final:
            return self.refuse(
                f"Still {job.state} after {timeout:g} s; the job goes on. Look at it: {ME} wait {job_id}", TIMED_OUT
            )
        return self._end(job)

    def _end(self, job: Job) -> int:
        if job.state == State.COMPLETED:
            self.stdout.write(json.dumps(queries.plain(job.result)))
            return 0
        for attempt in queries.attempts(job):
            self.stderr.write(f"attempt {attempt.number} on {attempt.worker}: {attempt.end}: {attempt.error}")
        self.stderr.write(f"The job is {job.state}: {job.error or 'no reason is recorded'}")
        return self.refuse(f"Everything about it: {ME} show {job.pk}. Run it again: {ME} retry {job.pk}", FAILED)


def _json(kind: type[list] | type[dict]) -> Callable[[str], Any]:
    expected = 'array, as [1, "two"]' if kind is list else 'object, as {"name": 1}'

    def parse(text: str) -> Any:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ArgumentTypeError(f"{text[:80]!r} is no JSON: {error}; expected an {expected}") from error
        if not isinstance(value, kind):
            raise ArgumentTypeError(f"{text[:80]!r} is no JSON {expected}")
        return value

    return parse


def _priority(text: str) -> int | str:
    return int(text) if text.lstrip("+-").isdigit() else text


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise ArgumentTypeError(f"{text!r} is no number of seconds")
    return value
