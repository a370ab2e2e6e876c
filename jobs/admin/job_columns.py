"""What lists and pages say of one job."""

import json
from typing import Any
from urllib.parse import quote, urljoin

from django.conf import settings
from django.contrib import admin
from django.utils.html import format_html

from ..models import Attempt, Job
from ..states import FINAL, State
from . import shown


class JobColumns:
    """Columns and fields; every one of them is computed from the row alone."""

    @admin.display(description="task")
    def label(self, job: Job) -> str:
        """The name that the caller gave, else the task."""
        return shown.first_line(f"{job.task} · {job.name}" if job.name else job.task)

    @admin.display(description="state")
    def state_badge(self, job: Job) -> str:
        return shown.badge(job.state)

    @admin.display(description="attempt")
    def starts(self, job: Job) -> str:
        return str(job.attempt) if job.max_retries is None else f"{job.attempt} of {job.max_retries + 1}"

    @admin.display(description="error")
    def error_line(self, job: Job) -> str:
        return shown.first_line(job.error, 80)

    @admin.display(description="error")
    def error_text(self, job: Job) -> str:
        return shown.block(job.error)

    @admin.display(description="when")
    def when(self, job: Job) -> str:
        """The time that matters most in its state."""
        match job.state:
            case State.SCHEDULED | State.RETRYING:
                return format_html("due {}", shown.ago(job.run_at))
            case State.RUNNING:
                return format_html("started {}", shown.ago(job.started_at))
            case state if state in FINAL:
                return format_html("{} {}", "ended" if job.started_at else "given up", shown.ago(job.finished_at))
        return format_html("created {}", shown.ago(job.created_at))

    @admin.display(description="finished")
    def finished_ago(self, job: Job) -> str:
        return shown.ago(job.finished_at)

    @admin.display(description="created")
    def created(self, job: Job) -> str:
        return shown.moment(job.created_at)

    @admin.display(description="could run from")
    def ready(self, job: Job) -> str:
        return shown.moment(job.ready_at)

    @admin.display(description="next start")
    def next_start(self, job: Job) -> str:
        return shown.moment(job.run_at)

    @admin.display(description="expires")
    def expires(self, job: Job) -> str:
        return shown.moment(job.expires_at)

    @admin.display(description="started")
    def started(self, job: Job) -> str:
        return shown.moment(job.started_at)

    @admin.display(description="finished")
    def finished(self, job: Job) -> str:
        return shown.moment(job.finished_at)

    @admin.display(description="took")
    def took(self, job: Job) -> str:
        return shown.duration(job.started_at, job.finished_at)

    @admin.display(description="args")
    def args_json(self, job: Job) -> str:
        return shown.pretty(job.args)

    @admin.display(description="kwargs")
    def kwargs_json(self, job: Job) -> str:
        return shown.pretty(job.kwargs)

    @admin.display(description="result")
    def result_json(self, job: Job) -> str:
        return shown.pretty(job.result)

    @admin.display(description="options")
    def options_json(self, job: Job) -> str:
        return shown.pretty(job.options)

    @admin.display(description="progress")
    def progress_json(self, job: Job) -> str:
        return shown.pretty_value(job.progress)

    @admin.display(description="tags")
    def tags_json(self, job: Job) -> str:
        return shown.pretty_value(job.tags)

    @admin.display(description="Celery task id")
    def celery_id(self, job: Job) -> str:
        return task_id(job)


def task_id(job: Job) -> str:
    """The id that Celery, its results and Flower know the job by: the caller's own text if it gave one."""
    try:
        options = json.loads(job.options or "{}")
    except ValueError:
        options = {}
    return str(options.get("task_id") or job.pk) if isinstance(options, dict) else str(job.pk)


def flower_url(job: Job) -> str:
    """The job's page in Flower, or "" where the site has none."""
    flower = getattr(settings, "FLOWER_URL", "")
    return urljoin(flower, f"task/{quote(task_id(job), safe='')}") if flower else ""


def attempt_row(job: Job, attempt: Attempt) -> dict[str, Any]:
    return {
        "attempt": attempt,
        "took": shown.duration(attempt.started_at, attempt.finished_at),
        "started": shown.ago(attempt.started_at),
        "finished": shown.ago(attempt.finished_at),
        "end": shown.mark(attempt.end, END_ICONS.get(attempt.end, "?"), attempt.get_end_display()),
        "error": shown.first_line(attempt.error, 300),
        "earlier": attempt.epoch != job.epoch,
    }


END_ICONS = {"completed": "✓", "failed": "✕", "retried": "↻", "lost": "!"}
