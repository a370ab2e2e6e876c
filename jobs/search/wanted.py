"""Which jobs a search is for, in a form that tells how to find them."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from django.db.models import Q, QuerySet

from ..engine.link import jobs_alias
from ..models import Job
from ..states import FINAL, LIVE, State

EVER = datetime(9999, 12, 30, tzinfo=UTC)
NEVER = datetime(1, 1, 2, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Text:
    """A column has one of these values, or begins with one of the prefixes."""

    values: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()


@dataclass(slots=True)
class Wanted:
    """All of it must hold. What an index can find stands apart; `rest` is everything else."""

    states: frozenset[State] = frozenset(State)
    since: datetime = NEVER
    """Created then or later."""
    until: datetime = EVER
    """Created before then."""
    ids: frozenset[UUID] | None = None
    reference: tuple[str, str] | None = None
    tag: tuple[str, str] | None = None
    task: Text | None = None
    queue: Text | None = None
    rest: list[Q] = field(default_factory=list)

    @property
    def live(self) -> frozenset[State]:
        return self.states & LIVE

    @property
    def final(self) -> frozenset[State]:
        return self.states & FINAL

    def is_only(self, *names: str) -> bool:
        """Whether nothing is asked but these, and the time of creation."""
        others = {"ids", "reference", "tag", "task", "queue"}.difference(names)
        states = "states" in names or self.states >= FINAL
        return states and not self.rest and all(getattr(self, name) is None for name in others)

    def conditions(self) -> Q:
        """Every condition but the time of creation."""
        return Q(*self.rest, *self._found_by())

    def jobs(self) -> QuerySet[Job]:
        """The jobs that match."""
        return Job.objects.using(jobs_alias()).filter(self.conditions() & self.created())

    def created(self) -> Q:
        """The time of creation: nothing where it has no end, so that an index alone may answer."""
        since = Q(created_at__gte=self.since) if self.since > NEVER else Q()
        return since & Q(created_at__lt=self.until) if self.until < EVER else since

    def _found_by(self) -> list[Q]:
        found = []
        if self.states != frozenset(State):
            found.append(Q(state__in=sorted(self.states)))
            if not self.live:
                # Says to the planner that the indexes on finished jobs will do.
                found.append(Q(finished_at__isnull=False))
        if self.ids is not None:
            found.append(Q(pk__in=sorted(self.ids)))
        if self.reference is not None:
            found.append(Q(reference_type=self.reference[0], reference_id=self.reference[1]))
        if self.tag is not None:
            found.append(Q(tags__contains=dict([self.tag])))
        found += [any_of(name, text) for name in ("task", "queue") if (text := getattr(self, name)) is not None]
        return found


def any_of(column: str, text: Text) -> Q:
    found = Q(**{f"{column}__in": text.values}) if text.values else Q()
    for prefix in text.prefixes:
        found |= Q(**{f"{column}__startswith": prefix})
    return found
