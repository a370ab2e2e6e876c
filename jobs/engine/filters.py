"""Which jobs an operator means, as one value."""

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from ..errors import InvalidFilter
from ..models import Job
from ..models.references import reference_of
from ..states import FINAL, State
from .link import jobs_alias
from .payload import is_storable


@dataclass(frozen=True, kw_only=True, slots=True)
class JobFilter:
    """All of what is given must hold; moments are aware, `error` is a part of the error's text.

    Raises InvalidFilter for what no job can match, before any SQL.
    """

    states: Collection[str] = ()
    queue: str | None = None
    task: str | None = None
    tags: Mapping[str, str] | None = None
    reference: Any = None
    """A model instance, or its (type, id)."""
    created_after: datetime | None = None
    created_before: datetime | None = None
    finished_after: datetime | None = None
    finished_before: datetime | None = None
    error: str | None = None
    ids: Collection[UUID] | None = None

    def __post_init__(self) -> None:
        for state in self.states:
            if state not in set(State):
                near = difflib.get_close_matches(str(state), list(State), n=1)
                hint = f" Did you mean {str(near[0])!r}?" if near else ""
                raise InvalidFilter(f"There is no state {state!r}.{hint} The states are {', '.join(State)}.")
        for name in ("created_after", "created_before", "finished_after", "finished_before"):
            moment = getattr(self, name)
            if moment is not None and moment.tzinfo is None:
                raise InvalidFilter(f"{name} is {moment!r}; expected a datetime with its time zone.")
        if self.reference is not None:
            object.__setattr__(self, "reference", reference_of(self.reference))
        tags = [text for pair in (self.tags or {}).items() for text in pair]
        texts = (self.queue, self.task, self.error, *(self.reference or ()), *tags)
        if not all(is_storable(text) for text in texts if text):
            raise InvalidFilter("A filter holds NUL or half a surrogate pair, which no job can hold; remove it.")

    @property
    def is_empty(self) -> bool:
        """Whether every job would do."""
        return not self.described()

    def described(self) -> dict[str, Any]:
        """What is given, for an audit entry."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        plain = {name: value for name, value in given.items() if value or (name == "ids" and value is not None)}
        if self.ids is not None:
            plain["ids"] = [str(id_) for id_ in list(self.ids)[:IDS_SHOWN]]
            plain["ids_count"] = len(self.ids)
        return {name: _plain(value) for name, value in plain.items()}

    def jobs(self) -> QuerySet[Job]:
        """The jobs that match, to be read."""
        found = Job.objects.using(jobs_alias())
        if self.states:
            found = found.filter(state__in=sorted(self.states))
            if FINAL.issuperset(self.states):
                # Says to the planner that the indexes on finished jobs will do.
                found = found.filter(finished_at__isnull=False)
        if self.reference is not None:
            found = found.for_reference(self.reference)
        return found.filter(**{look: value for look, value in self._lookups().items() if value is not None})

    def _lookups(self) -> dict[str, Any]:
        return {
            "queue": self.queue,
            "task": self.task,
            "tags__contains": self.tags or None,
            "created_at__gt": self.created_after,
            "created_at__lt": self.created_before,
            "finished_at__gt": self.finished_after,
            "finished_at__lt": self.finished_before,
            "error__contains": self.error,
            "pk__in": None if self.ids is None else list(self.ids),
        }


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    return list(value) if isinstance(value, tuple) else value


IDS_SHOWN = 20
"""Ids of a filter that an audit entry lists."""
