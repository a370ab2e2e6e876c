"""What a term of each field adds to what is wanted. Each raises ValueError, which says what is expected."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import DurationField, ExpressionWrapper, F, Q
from django.db.models.functions import Coalesce, Now
from django.db.models.lookups import Exact, GreaterThan, GreaterThanOrEqual, LessThan, LessThanOrEqual

from ..engine.newjob import job_key
from ..errors import InvalidJob
from ..policy import PRIORITIES
from ..states import FINAL, LIVE, State
from .bounds import between, duration, end_of_day, moment, whole
from .json_at import IsNotTrue, argument_is
from .near import nearest
from .terms import Term
from .wanted import EVER, Text, Wanted, any_of

STATES = {str(state): frozenset({state}) for state in State}
"""The words of `state`: one state each."""
STATUSES: dict[str, frozenset[State]] = {
    **STATES,
    "pending": frozenset({State.BLOCKED, State.SCHEDULED, State.PENDING, State.PAUSED, State.DISPATCHED}),
    "cancelled": frozenset({State.CANCELLED, State.EXPIRED}),
    "failed": frozenset({State.FAILED, State.DEAD_LETTER}),
    "active": LIVE,
    "finished": FINAL,
}
"""The words of `status`: those that an answer's `status` has, groups of them, and every other state."""
Meaning = Callable[[Wanted, Term, datetime], None]


def states(words: dict[str, frozenset[State]]) -> Meaning:
    def add(found: Wanted, term: Term, now: datetime) -> None:
        said = [word.text.lower() for word in term.words]
        for word in said:
            if word not in words:
                raise ValueError(f"There is no {term.field} {word[:40]!r}. {nearest(word, words)}")
        meant = frozenset[State]().union(*(words[word] for word in said))
        found.states &= frozenset(State) - meant if term.is_negated else meant

    return add


def text(column: str) -> Meaning:
    """A column compared as a whole. An index looks for the first such term of task and of queue."""

    def add(found: Wanted, term: Term, now: datetime) -> None:
        meant = Text(
            tuple(word.text for word in term.words if not word.is_prefix),
            tuple(word.text for word in term.words if word.is_prefix),
        )
        if term.is_negated or column not in ("task", "queue") or getattr(found, column) is not None:
            _also(found, term, any_of(column, meant))
        else:
            setattr(found, column, meant)

    return add


def part(column: str) -> Meaning:
    def add(found: Wanted, term: Term, now: datetime) -> None:
        _also(found, term, _any(Q(**{f"{column}__contains": word.text}) for word in term.words))

    return add


def ids(found: Wanted, term: Term, now: datetime) -> None:
    try:
        keys = frozenset(job_key(word.text) for word in term.words)
    except InvalidJob as error:
        raise ValueError(str(error)) from error
    if term.is_negated:
        _also(found, term, Q(pk__in=sorted(keys)))
    else:
        found.ids = keys if found.ids is None else found.ids & keys


def tag(found: Wanted, term: Term, now: datetime) -> None:
    """`tag:key`, `tag:key=value` or `tag.key:value`."""
    pairs = [_pair(term.path, word.text) for word in term.words]
    name, value = pairs[0]
    if not term.is_negated and found.tag is None and len(pairs) == 1 and value is not None:
        found.tag = (name, value)
        return
    meant = _any(Q(tags__has_key=key) if value is None else Q(tags__contains={key: value}) for key, value in pairs)
    _also(found, term, meant)


def reference(found: Wanted, term: Term, now: datetime) -> None:
    pairs = [_referenced(word.text) for word in term.words]
    if not term.is_negated and found.reference is None and len(pairs) == 1:
        found.reference = pairs[0]
    else:
        _also(found, term, _any(Q(reference_type=kind, reference_id=key) for kind, key in pairs))


def number(column: str) -> Meaning:
    def read(said: str) -> int:
        return PRIORITIES[said.lower()] if column == "priority" and said.lower() in PRIORITIES else whole(said)

    def add(found: Wanted, term: Term, now: datetime) -> None:
        _also(found, term, _any(_within(column, between(term.compared, word.text, read)) for word in term.words))

    return add


def created(found: Wanted, term: Term, now: datetime) -> None:
    """The lists' own order: unless negated, no condition but an end of what is read."""
    bounds = between(term.compared, _single(term), moment(now), step=end_of_day)
    if term.is_negated:
        _also(found, term, _within("created_at", bounds))
        return
    same = bounds.get("exact")
    since = [bounds.get("gte"), _after(bounds.get("gt")), same]
    until = [bounds.get("lt"), _after(bounds.get("lte")), _after(same)]
    found.since = max([found.since, *filter(None, since)])
    found.until = min([found.until, *filter(None, until)])


def moment_of(column: str) -> Meaning:
    def add(found: Wanted, term: Term, now: datetime) -> None:
        _also(found, term, _within(column, between(term.compared, _single(term), moment(now), step=end_of_day)))

    return add


def took(found: Wanted, term: Term, now: datetime) -> None:
    """How long the last run took, or takes until now."""
    span = ExpressionWrapper(Coalesce(F("finished_at"), Now()) - F("started_at"), output_field=DurationField())
    bounds = between(term.compared, _single(term), duration)
    _also(found, term, Q(*(COMPARED[look](span, end) for look, end in bounds.items())))


def argument(found: Wanted, term: Term, now: datetime) -> None:
    if not term.path:
        raise ValueError("expected the name of an argument, as args.user_id:42, or its place, as args.0:42")
    _also(found, term, argument_is(term.path, [word.text for word in term.words]))


COMPARED = {"gt": GreaterThan, "gte": GreaterThanOrEqual, "lt": LessThan, "lte": LessThanOrEqual, "exact": Exact}


def _also(found: Wanted, term: Term, meant: Q) -> None:
    found.rest.append(Q(IsNotTrue(meant)) if term.is_negated else meant)


def _any(conditions: Any) -> Q:
    meant = Q()
    for condition in conditions:
        meant |= condition
    return meant


def _within(column: str, bounds: dict[str, Any]) -> Q:
    return Q(**{f"{column}__{look}": end for look, end in bounds.items()})


def _single(term: Term) -> str:
    if len(term.words) > 1:
        raise ValueError("takes one value; name a stretch as 2026-01-01..2026-01-31")
    return term.words[0].text


def _after(end: datetime | None) -> datetime | None:
    """The first moment behind it: the database keeps microseconds."""
    return end if end is None or end >= EVER else end + timedelta(microseconds=1)


def _pair(path: tuple[str, ...], said: str) -> tuple[str, str | None]:
    if path:
        return ".".join(path), said
    name, given, value = said.partition("=")
    if not name:
        raise ValueError("expected key, or key=value")
    return name, value if given else None


def _referenced(said: str) -> tuple[str, str]:
    kind, given, key = said.partition(":")
    if not (kind and given):
        raise ValueError(f"{said[:40]!r} is no type:id, as shop.order:7")
    return kind, key
