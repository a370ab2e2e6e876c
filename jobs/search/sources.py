"""Where finished jobs are found by an index: each source gives the keys of all that may match, the newest first."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, Protocol

from django.db import connections
from django.db.models import DateTimeField, ExpressionWrapper, F, QuerySet, Value

from ..engine.link import jobs_alias
from ..engine.sql import statement
from ..models import Job
from ..states import FINAL, State
from .keys import Among, Compared, Key, Stretch, keys_of
from .wanted import Text, Wanted

COUNTED = 10_000
"""Jobs that are counted exactly, and keys of a source that are all compared with the rest of a search."""
SOME = 2_000
"""Keys that are compared where a source has more than COUNTED."""
LANES = 2_000
"""Pairs of task and queue that are looked at."""
RARE = 50_000
"""Jobs with a tag, by the planner's guess, that are read to be put in order."""
FAILED = FINAL - {State.COMPLETED}


class Source(Protocol):
    @property
    def is_whole(self) -> bool:
        """Whether all that it gives match, live jobs aside."""

    @property
    def count(self) -> int:
        """How many it has, at most COUNTED + 1."""

    def read(self, behind: Key, most: int) -> list[Key]:
        """The newest behind a key."""


def stretch(source: Source, wanted: Wanted, behind: Key, need: int) -> Stretch:
    """What matches of a source behind a key: a few are looked at first, then all or some."""
    if source.is_whole:
        return _looked(source, wanted, behind, need)
    first = _looked(source, wanted, behind, min(4 * need, SOME))
    if first.is_enough(need):
        return first
    return _looked(source, wanted, behind, COUNTED if source.count <= COUNTED else max(4 * need, SOME))


def matching(wanted: Wanted, keys: list[Key]) -> list[Key]:
    """Those of the keys whose jobs match."""
    return keys_of(wanted.jobs().filter(Among(key.id for key in keys))) if keys else []


def sources(wanted: Wanted) -> Iterator[Source]:
    """The indexes that know something of what is wanted, the most selective first."""
    jobs = Job.objects.using(jobs_alias()).filter(wanted.created(), finished_at__isnull=False)
    if wanted.reference is not None:
        yield Sorted(jobs.for_reference(wanted.reference), wanted.is_only("reference"))
    if wanted.tag is not None:
        tagged = jobs.filter(tags__contains=dict([wanted.tag]), tags__isnull=False)
        # Of a tag that many have, the newest are found sooner by looking through all of the newest.
        if guess(tagged) <= RARE:
            yield Sorted(tagged, wanted.is_only("tag"))
    if wanted.final and wanted.final <= FAILED:
        yield Indexed("ended_keys", "ended_count", wanted, wanted.is_only("states"), {"states": sorted(wanted.final)})
    # All lanes, if nothing else is known: finished jobs may lie behind any number of those that wait.
    if (lanes := _lanes(wanted)) is not None:
        params = {"tasks": [task for task, _ in lanes], "queues": [queue for _, queue in lanes]}
        yield Indexed("lane_keys", "lane_count", wanted, wanted.is_only("task", "queue"), params)


@dataclass(frozen=True)
class Indexed:
    """An index in the lists' own order, read by two statements."""

    keys: str
    counted: str
    wanted: Wanted
    is_whole: bool
    params: dict[str, Any]

    @cached_property
    def count(self) -> int:
        ends = {"since": self.wanted.since, "until": self.wanted.until}
        return rows(self.counted, **ends, **self.params, limit=COUNTED + 1)[0][0]

    def read(self, behind: Key, most: int) -> list[Key]:
        place = {"created_at": behind.created_at, "id": behind.id, "since": self.wanted.since}
        return [Key(*row) for row in rows(self.keys, **place, **self.params, limit=most)]


@dataclass(frozen=True)
class Sorted:
    """Few jobs of an index in another order."""

    jobs: QuerySet[Job]
    is_whole: bool

    @cached_property
    def count(self) -> int:
        return self.jobs.order_by().values("pk")[: COUNTED + 1].count()

    def read(self, behind: Key, most: int) -> list[Key]:
        return keys_of(sorted_not_walked(self.jobs, behind)[:most])


def sorted_not_walked(jobs: QuerySet[Job], behind: Key) -> QuerySet[Job]:
    """The newest of few jobs. Their order is none that an index has, so the planner can't walk all jobs instead."""
    created = ExpressionWrapper(F("created_at") + Value(timedelta(0)), output_field=DateTimeField())
    return jobs.filter(Compared("<", behind)).order_by(created.desc(), "-id")


def guess(jobs: QuerySet[Job]) -> int:
    """How many there are, by the planner's statistics."""
    return int(json.loads(jobs.order_by().values("pk").explain(format="json"))[0]["Plan"]["Plan Rows"])


def rows(name: str, **params: object) -> list[tuple]:
    with connections[jobs_alias()].cursor() as cursor:
        cursor.execute(statement(name), params)
        return cursor.fetchall()


def _looked(source: Source, wanted: Wanted, behind: Key, most: int) -> Stretch:
    keys = source.read(behind, most + 1)
    reached = None if len(keys) <= most else keys[most - 1]
    keys = keys[:most]
    return Stretch(keys if source.is_whole else matching(wanted, keys), reached)


def _lanes(wanted: Wanted) -> list[tuple[str, str]] | None:
    """The lanes of the tasks and queues that are wanted; None if there are too many to look at each."""
    task = wanted.task
    if task is not None and not task.prefixes:
        found = rows("lanes_of", tasks=sorted(set(task.values)), limit=LANES + 1)
    else:
        found = rows("lanes", limit=LANES + 1)
    if len(found) > LANES:
        return None
    return [(task, queue) for task, queue in found if _is(wanted.task, task) and _is(wanted.queue, queue)]


def _is(text: Text | None, value: str) -> bool:
    return text is None or value in text.values or value.startswith(text.prefixes)
