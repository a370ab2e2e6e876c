"""The verbs of `manage.py jobs` that move jobs: one job by its id, or all that a filter chooses."""

from argparse import ArgumentTypeError
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from .. import queries
from ..engine import JobFilter, Request, bulk
from ..errors import InvalidFilter
from ..models import Job
from ..states import State

MOMENTS = ("created_after", "created_before", "finished_after", "finished_before")
CHOICES = ("states", "queue", "task", "tags", "reference", "error", *MOMENTS)
PAST = {
    "requeue": "requeued",
    "cancel": "cancelled, or asked to stop",
    "purge": "deleted",
    "boost": "boosted",
    "set_priority": "given their priority",
    "postpone": "given their time to start",
    "escalate": "made dead letters",
    "dismiss": "dismissed",
}


def add_filter(parser: CommandParser) -> None:
    """What chooses jobs, and how to look before leaping."""
    chosen = parser.add_argument_group("all jobs that match")
    chosen.add_argument("--state", action="append", default=[], dest="states", choices=[str(state) for state in State])
    chosen.add_argument("--queue")
    chosen.add_argument("--task")
    chosen.add_argument("--tag", action="append", type=_pair("="), dest="tags", metavar="NAME=VALUE")
    chosen.add_argument("--reference", type=_pair(":"), metavar="TYPE:ID")
    chosen.add_argument("--error", help="a part of the error's text")
    for name in MOMENTS:
        chosen.add_argument(f"--{name.replace('_', '-')}", type=_moment, metavar="ISO8601")
    chosen.add_argument("--all", action="store_true", dest="everything", help="every job that the verb can move")
    chosen.add_argument("--dry-run", action="store_true", help="count them and change nothing")
    parser.add_argument("--reason", default="", help="kept in the audit log")


def over(
    verb: Callable[..., bulk.Done], job_id: str | None, given: dict[str, Any], **more: Any
) -> tuple[bulk.Done, str]:
    """Run a bulk verb over one job or the filter that was given. Returns what it did, and the sentence to print.

    Raises InvalidFilter, JobNotFound.
    """
    job = queries.find_job(job_id) if job_id else None
    done = verb(_filter(job, given), _request(given), **more)
    found = ", ".join(f"{count:,} {state}" for state, count in done.found.items()) or "none"
    if given["dry_run"]:
        return done, f"{done.count:,} would be {PAST[done.verb]}: {found}. Nothing was changed."
    left = done.count - done.moved
    return done, f"{done.moved:,} {PAST[done.verb]}." + (
        f" {left:,} stayed: they changed, are needed, or another job holds their unique key." if left else ""
    )


def _filter(job: Job | None, given: dict[str, Any]) -> JobFilter:
    chosen = {name: given[name] for name in CHOICES if given.get(name)}
    if job is None:
        return JobFilter(**{**chosen, **({"tags": dict(chosen["tags"])} if "tags" in chosen else {})})
    if chosen:
        raise InvalidFilter("Give the id of one job, or what chooses many: not both.")
    return JobFilter(ids=[job.pk])


def _request(given: dict[str, Any]) -> Request:
    return Request(
        actor=f"manage.py jobs {given['verb']}",
        reason=given["reason"],
        dry_run=given["dry_run"],
        everything=given["everything"],
    )


def _pair(mark: str) -> Callable[[str], tuple[str, str]]:
    def parse(text: str) -> tuple[str, str]:
        name, found, value = text.partition(mark)
        if not (name and found):
            raise ArgumentTypeError(f"{text!r} is no NAME{mark}VALUE")
        return name, value

    return parse


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is no moment, as 2026-01-31T12:00") from error
    return moment if moment.tzinfo else timezone.make_aware(moment)
