"""One more job like one that was checked before: only its id and its arguments are new."""

from dataclasses import replace
from uuid import UUID

from django.db import connections
from uuid_utils import uuid7

from .direct import is_unwatched, run
from .enqueue import enqueue, in_event_loop, row, warn_of_other_transactions
from .failpoints import failpoint
from .link import CallersLink, jobs_alias
from .newjob import NewJob, check, new_id
from .queues import queue_facts, refuse_if_full
from .sql import statement
from .wake import wake_after_commit

OPEN = ("id", "args", "kwargs", "lead", "options")
"""What the statement of one call may have that those of the others have not."""


class Like:
    """A job that others will be like."""

    def __init__(self, job: NewJob, text: str | None = None) -> None:
        """`text` is the statement of a job that differs in what is OPEN. Raises InvalidJob."""
        check(job)
        self.job = job
        self.options = literal(job.options)
        self._text = text

    @property
    def text(self) -> str:
        """The statement with what all have in common; made when a second call is like the first."""
        if self._text is None:
            shared = {name: literal(value).replace("%", "%%") for name, value in row(self.job, 0).items()}
            self._text = statement("call_insert") % {**shared, **{name: f"%({name})s" for name in OPEN}}
        return self._text

    def travelling_with(self, options: str) -> "Like":
        """The same with other options, JSON by `encode`."""
        return Like(replace(self.job, options=options), self.text)


def enqueue_like(like: Like, args: str, kwargs: str) -> str:
    """`enqueue` for a job with other arguments, JSON by `encode`. Returns its id as text."""
    if (id_ := _written(like, args, kwargs)) is None:
        return str(enqueue(replace(like.job, id=new_id(), args=args, kwargs=kwargs)))
    return id_


def _written(like: Like, args: str, kwargs: str) -> str | None:
    """The id of a job that was inserted by the shortest way; None: that way is closed."""
    if in_event_loop() or not like.text.isascii():
        return None
    alias = jobs_alias()
    connection = connections[alias]
    if not is_unwatched(connection):
        return None
    link, queue = CallersLink(alias), like.job.queue
    facts = queue_facts(link, queue)
    if not facts.has_procedure:
        return None
    warn_of_other_transactions(connection)
    refuse_if_full(link, queue, facts)
    id_ = str(uuid7())
    lead = like.job.priority * facts.aging_us
    own = {"id": f"'{id_}'", "args": literal(args), "kwargs": literal(kwargs), "lead": lead}
    run(connection, like.text % {**own, "options": like.options})
    failpoint("KE1")
    wake_after_commit(alias)
    return id_


def literal(value: str | int | UUID | None) -> str:
    """A value as SQL, whatever standard_conforming_strings is.

    The driver's `quote` asks libpq what the connection opened last has of it, twice: when another thread changes that
    in between, a text would end at its first quote.
    """
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(int(value))
    text = str(value).replace("'", "''")
    if "\\" in text:
        return " E'" + text.replace("\\", "\\\\") + "'"
    return f"'{text}'"
