"""Where finished jobs are found by an index: each source gives the keys of all that may match, the newest first."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.db import connections
from django.db.models import DateTimeField, ExpressionWrapper, F, QuerySet, Value

from ..engine.link import jobs_alias
from ..engine.sql import statement
from ..models import Job
from ..states import FINAL, State
from .keys import Compared, Key, Stretch, keys_of
from .wanted import Text, Wanted

FEW = 10_000
"""Keys that are read of a source to be compared with the rest of a search."""
LANES = 2_000
"""Pairs of task and queue that are looked at."""
RARE = 50_000
"""Jobs with a tag, by the planner's guess, that are read to be put in order."""
FAILED = FINAL - {State.COMPLETED}
Read = Callable[[Key, int], list[Key]]


@dataclass(frozen=True, slots=True)
class Source:
    read: Read
    """The keys behind one, at most so many."""
    is_whole: bool
    """Whether all that it gives match, live jobs aside."""

    def stretch(self, wanted: Wanted, behind: Key, need: int) -> Stretch:
        """What matches behind a key."""
        most = need if self.is_whole else max(FEW, need)
        keys = self.read(behind, most + 1)
        reached = None if len(keys) <= most else keys[most - 1]
        keys = keys[:most]
        return Stretch((keys if self.is_whole else matching(wanted, keys))[:need], reached)


def sources(wanted: Wanted) -> Iterator[Source]:
    """The indexes that know something of what is wanted, the most selective first."""
    if wanted.reference is not None:
        yield Source(_of_reference(wanted), wanted.is_only("reference"))
    if wanted.tag is not None and (tagged := _tagged(wanted)) is not None:
        yield Source(tagged, wanted.is_only("tag"))
    if wanted.final and wanted.final <= FAILED:
        yield Source(_ended(wanted), wanted.is_only("states"))
    if (wanted.task or wanted.queue) and (lanes := _lanes(wanted)) is not None:
        yield Source(_of_lanes(wanted, lanes), wanted.is_only("task", "queue"))


def matching(wanted: Wanted, keys: list[Key]) -> list[Key]:
    """Those of the keys whose jobs match."""
    return keys_of(wanted.jobs().filter(pk__in=[key.id for key in keys])) if keys else []


def sorted_not_walked(jobs: QuerySet[Job], behind: Key, most: int) -> list[Key]:
    """The newest of few jobs. Their order is none that an index has, so the planner can't walk all jobs instead."""
    created = ExpressionWrapper(F("created_at") + Value(timedelta(0)), output_field=DateTimeField())
    return keys_of(jobs.filter(Compared("<", behind)).order_by(created.desc(), "-id")[:most])


def guess(jobs: QuerySet[Job]) -> int:
    """How many there are, by the planner's statistics."""
    return int(json.loads(jobs.order_by().values("pk").explain(format="json"))[0]["Plan"]["Plan Rows"])


def rows(name: str, **params: object) -> list[tuple]:
    with connections[jobs_alias()].cursor() as cursor:
        cursor.execute(statement(name), params)
        return cursor.fetchall()


def _of_reference(wanted: Wanted) -> Read:
    assert wanted.reference is not None
    jobs = Job.objects.using(jobs_alias()).for_reference(wanted.reference).filter(finished_at__isnull=False)
    return lambda behind, most: sorted_not_walked(jobs.filter(wanted.created()), behind, most)


def _tagged(wanted: Wanted) -> Read | None:
    """None where so many jobs have the tag that the newest ones are looked through instead."""
    assert wanted.tag is not None
    jobs = Job.objects.using(jobs_alias()).filter(
        tags__contains=dict([wanted.tag]), tags__isnull=False, finished_at__isnull=False
    )
    if guess(jobs) > RARE:
        return None
    return lambda behind, most: sorted_not_walked(jobs.filter(wanted.created()), behind, most)


def _ended(wanted: Wanted) -> Read:
    return lambda behind, most: _keys("ended_keys", wanted, behind, most, states=sorted(wanted.final))


def _of_lanes(wanted: Wanted, lanes: list[tuple[str, str]]) -> Read:
    tasks, queues = [task for task, _ in lanes], [queue for _, queue in lanes]
    return lambda behind, most: _keys("lane_keys", wanted, behind, most, tasks=tasks, queues=queues)


def _keys(name: str, wanted: Wanted, behind: Key, most: int, **params: object) -> list[Key]:
    place = {"created_at": behind.created_at, "id": behind.id, "since": wanted.since, "limit": most}
    return [Key(*row) for row in rows(name, **place, **params)]


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
    return text is None or value in text.values or value.startswith(text.prefixes or ("\x00",))
