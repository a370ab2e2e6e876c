"""The fields of a search: what each is called and what it takes. What is not here is refused."""

from collections.abc import Callable, Iterable
from datetime import datetime

from ..engine.payload import is_storable
from ..errors import InvalidSearch
from . import meanings
from .near import nearest
from .terms import Term
from .wanted import Wanted

FIELDS: dict[str, Callable[[Wanted, Term, datetime], None]] = {
    "id": meanings.ids,
    "state": meanings.states(meanings.STATES),
    "status": meanings.states(meanings.STATUSES),
    "task": meanings.text("task"),
    "queue": meanings.text("queue"),
    "worker": meanings.text("worker"),
    "name": meanings.text("name"),
    "by": meanings.text("created_by"),
    "key": meanings.text("unique_key"),
    "tag": meanings.tag,
    "reference": meanings.reference,
    "error": meanings.part("error"),
    "priority": meanings.number("priority"),
    "attempt": meanings.number("attempt"),
    "created": meanings.created,
    "started": meanings.moment_of("started_at"),
    "finished": meanings.moment_of("finished_at"),
    "run_at": meanings.moment_of("run_at"),
    "took": meanings.took,
    "args": meanings.argument,
    "kwargs": meanings.argument,
}
COMPARABLE = ("priority", "attempt", "created", "started", "finished", "run_at", "took")
WITH_PREFIX = ("task", "queue", "worker", "name", "by", "key")
WITH_PATH = ("args", "kwargs", "tag")


def wanted(terms: Iterable[Term], *, now: datetime) -> Wanted:
    """Which jobs the terms mean; spans count from `now`. Raises InvalidSearch."""
    found = Wanted()
    for term in terms:
        if term.field not in FIELDS:
            raise InvalidSearch(term.source, f"There is no field {term.field[:40]!r}. {nearest(term.field, FIELDS)}")
        try:
            _check(term)
            FIELDS[term.field](found, term, now)
        except ValueError as error:
            raise InvalidSearch(term.source, f"{term.label[:80]}: {str(error).rstrip('.')}.") from error
    return found


def _check(term: Term) -> None:
    if term.path and term.field not in WITH_PATH:
        raise ValueError(f"{term.field} has nothing below it; {', '.join(WITH_PATH)} have")
    if term.compared and term.field not in COMPARABLE:
        raise ValueError(
            f"{term.field} has no {term.compared}, {', '.join(COMPARABLE)} have; quotes make it plain text"
        )
    if any(word.is_prefix for word in term.words) and term.field not in WITH_PREFIX:
        raise ValueError(f"{term.field} takes no *, {', '.join(WITH_PREFIX)} do; quotes make it plain text")
    if not all(map(is_storable, (*term.path, *(word.text for word in term.words)))):
        raise ValueError("NUL, or half a surrogate pair, is in no job; remove it")
