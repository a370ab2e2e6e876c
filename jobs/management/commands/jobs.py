"""`manage.py jobs`: run a task and wait for it, look at a job, and an operator's verbs over one or many."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError

from ... import queries
from ...engine import bulk, cancel, requeue
from ...engine.unready import unready
from ...errors import InvalidFilter, InvalidJob, InvalidPause, JobNotFound, SearchTooSlow
from ...explain import explain, why_it_stays
from ...models import Job
from ...states import State
from ...submit import resubmit, submit
from ..arguments import json_of, moment_of, priority_of, seconds
from ..extending import verbs_of_apps
from ..following import display, follow
from ..listing import add_list, listing
from ..operating import add_filter, over
from ..pausing import add_pauses, listed, moment, paused, resumed

FAILED, USAGE, NOT_FOUND, REFUSED, UNREADY, TIMED_OUT, INTERRUPTED = 1, 2, 3, 4, 6, 7, 130
"""Exit codes; 0 is a completed job."""
ME = "python3 manage.py jobs"
PRIORITY = "-100 to 100, or low, normal, high, critical"


class Command(BaseCommand):
    help = "Run a task as a job and wait for its result, or look at a job."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        run = verbs.add_parser("run", help="submit a job, follow it, print its result as JSON")
        run.add_argument("task", help="name of a registered task")
        run.add_argument("--args", type=json_of(list), default=[], dest="job_args", help="JSON array")
        run.add_argument("--kwargs", type=json_of(dict), default={}, dest="job_kwargs", help="JSON object")
        run.add_argument("--queue")
        run.add_argument("--priority", type=priority_of, help=PRIORITY)
        run.set_defaults(does=self.run)
        wait = verbs.add_parser("wait", help="follow a job that exists, print its result as JSON")
        wait.set_defaults(does=self.wait)
        found = verbs.add_parser("list", help="list jobs, newest first, all or those that match")
        found.set_defaults(does=self.list_jobs)
        add_list(found)
        show = verbs.add_parser("show", help="print a job and its attempts as JSON")
        show.set_defaults(does=self.show)
        explain = verbs.add_parser("explain", help="say why a job is not running, and what to do")
        explain.set_defaults(does=self.explain)
        for verb in (wait, show, explain):
            verb.add_argument("job_id")
        self._add_operators_verbs(verbs)
        for verb in (run, wait):
            verb.add_argument("--timeout", type=seconds, help="seconds to wait; the job goes on after that")

    def _add_operators_verbs(self, verbs: Any) -> None:
        retry = verbs.add_parser("retry", help="run jobs again that failed, expired or were cancelled")
        retry.add_argument("job_id", nargs="?")
        retry.add_argument("--args", type=json_of(list), dest="job_args", help="JSON array instead of the old one")
        retry.add_argument(
            "--kwargs", type=json_of(dict), dest="job_kwargs", help="JSON object in place of the old one"
        )
        retry.add_argument("--per-second", type=float, help="start so many a second, not all at once")
        cancel = verbs.add_parser("cancel", help="end jobs that wait, and ask running ones to stop")
        cancel.add_argument("job_id", nargs="?")
        purge = verbs.add_parser("purge", help="delete finished jobs with their attempts")
        purge.add_argument("job_id", nargs="?")
        boost = verbs.add_parser("boost", help="raise the priority of waiting jobs by points, to 100 at most")
        boost.add_argument("job_id", nargs="?")
        boost.add_argument("points", type=int)
        rank = verbs.add_parser("set-priority", help="give waiting jobs a priority")
        rank.add_argument("job_id", nargs="?")
        rank.add_argument("priority", type=priority_of, help=PRIORITY)
        later = verbs.add_parser("postpone", help="let waiting jobs start at another time, later or sooner")
        later.add_argument("job_id", nargs="?")
        later.add_argument("run_at", type=moment_of, metavar="WHEN", help="ISO 8601, or from now: 0s, 30m, 2h, 7d")
        move = verbs.add_parser("set-state", help="move jobs to pending, cancelled, dead_letter or failed")
        move.add_argument("job_id", nargs="?")
        move.add_argument("--to", required=True, dest="state")
        for verb, does in (
            *((retry, self.retry), (cancel, self.cancel), (purge, self.purge)),
            *((boost, self.boost), (rank, self.set_priority), (later, self.postpone), (move, self.set_state)),
        ):
            verb.set_defaults(does=does)
            add_filter(verb)

        for name, parser in add_pauses(verbs).items():
            parser.set_defaults(does=getattr(self, name))
        for add in verbs_of_apps():
            add(verbs, self)

    def handle(self, *args: Any, does: Callable[..., int], **options: Any) -> None:
        # Most of what goes there is no error: it stays uncoloured.
        self.stderr.style_func = None
        try:
            code = does(**options)
        except JobNotFound as error:
            code = self.refuse(str(error), NOT_FOUND)
        except (InvalidJob, InvalidFilter, InvalidPause) as error:
            code = self.refuse(str(error), USAGE)
        except SearchTooSlow as error:
            code = self.refuse(str(error), FAILED)
        except DatabaseError as error:
            if (said := unready(error)) is None:
                raise
            code = self.refuse(said, UNREADY)
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

    def list_jobs(self, **given: Any) -> int:
        listing(given, self.stdout, self.stderr)
        return 0

    def show(self, *, job_id: str, **_: Any) -> int:
        job = queries.find_job(job_id)
        attempts = list(queries.attempts(job).values("number", "end", "worker", "started_at", "finished_at", "error"))
        said = {"history": attempts, "reasons": [asdict(reason) for reason in explain(job)]}
        self.stdout.write(json.dumps({**queries.describe(job), **said}, cls=DjangoJSONEncoder, indent=2))
        return 0

    def explain(self, *, job_id: str, **_: Any) -> int:
        for reason in explain(queries.find_job(job_id)):
            self.stdout.write(f"{reason.text} {reason.advice}".rstrip())
        return 0

    def retry(self, *, job_id: str | None, per_second: float | None, **given: Any) -> int:
        edited = given["job_args"] is not None or given["job_kwargs"] is not None
        if job_id is None or given["dry_run"]:
            if edited:
                return self.refuse("--args and --kwargs change one job: give its id, without --dry-run.", USAGE)
            return self._over(bulk.requeue, job_id, given, per_second=per_second)
        job = queries.find_job(job_id)
        who = {"actor": "manage.py jobs retry", "reason": given["reason"]}
        if not (self._resubmit(job, given, who) if edited else requeue([job.pk], **who)):
            why = why_it_stays(job.pk)
            return self.refuse(f"{why.text} {why.advice}".rstrip(), REFUSED)
        self.stdout.write(f"{job.pk} is pending again. Follow it: {ME} wait {job.pk}")
        return 0

    def _resubmit(self, job: Job, given: dict[str, Any], who: dict[str, str]) -> bool:
        args, kwargs = given["job_args"], given["job_kwargs"]
        return resubmit(
            job,
            json.loads(job.args) if args is None else args,
            json.loads(job.kwargs) if kwargs is None else kwargs,
            **who,
        )

    def purge(self, *, job_id: str | None, **given: Any) -> int:
        return self._over(bulk.purge, job_id, given)

    def boost(self, *, job_id: str | None, points: int, **given: Any) -> int:
        return self._over(bulk.boost, job_id, given, points=points)

    def set_priority(self, *, job_id: str | None, priority: int | str, **given: Any) -> int:
        return self._over(bulk.set_priority, job_id, given, priority=priority)

    def set_state(self, *, job_id: str | None, state: str, **given: Any) -> int:
        return self._over(bulk.set_state, job_id, given, state=state)

    def postpone(self, *, job_id: str | None, run_at: datetime | timedelta, **given: Any) -> int:
        return self._over(bulk.postpone, job_id, given, run_at=moment(run_at))

    def pause(self, **given: Any) -> int:
        self.stdout.write(paused(**given))
        return 0

    def resume(self, **given: Any) -> int:
        if not (said := resumed(**given)):
            return self.refuse(f"{given['kind']} {given['what']} is not paused: see `{ME} pauses`.", REFUSED)
        self.stdout.write(said)
        return 0

    def pauses(self, **_: Any) -> int:
        self.stdout.write("\n".join(listed()) or "Nothing is paused.")
        return 0

    def _over(self, verb: Callable[..., bulk.Done], job_id: str | None, given: dict[str, Any], **more: Any) -> int:
        done, said = over(verb, job_id, given, **more)
        if job_id and not done.count:
            job = queries.find_job(job_id)
            return self.refuse(f"Job {job.pk} is {job.state}: nothing to {done.verb}.", REFUSED)
        self.stdout.write(said)
        return 0

    def cancel(self, *, job_id: str | None, **given: Any) -> int:
        if job_id is None or given["dry_run"]:
            return self._over(bulk.cancel, job_id, given)
        job = queries.find_job(job_id)
        done = cancel([job.pk], actor="manage.py jobs cancel", reason=given["reason"])
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
