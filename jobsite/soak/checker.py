"""Compares the ledger with the rows, as a pure function: what was promised and did not hold."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise

from .evidence import FINAL, Row, Violation
from .ledger import Start, Wish
from .promises import COMMITTING, bodies, effects_once, keys, skipped, spoilt

EXPECTED = {"doomed": ("dead_letter",), "unique": ("completed", "cancelled")}
"""Final states by kind of task; completed for the others."""
ONCE = "once"
"""The kind that is never started a second time: the first loss is its end."""


def violations(
    wishes: Mapping[str, Wish],
    starts: Iterable[Start],
    rows: Mapping[str, Row],
    *,
    poison_after: int,
    leases: int = 0,
    effects: Mapping[str, tuple[int, ...]] | None = None,
) -> list[Violation]:
    """Everything that the ledger and the rows can't both be right about; empty when every promise held.

    `effects`: by job, the attempts whose writes within `commit()` are in the database.
    """
    found = [Violation("lease left", "-", f"{leases} leases are left")] if leases else []
    ran: defaultdict[str, list[Start]] = defaultdict(list)
    for start in starts:
        ran[start.job].append(start)
    for job, wish in wishes.items():
        found += [Violation(kind, job, why) for kind, why in _exists(wish, rows, job in rows)]
    for job in ran.keys() - rows.keys():
        found.append(Violation("ghost", job, "it ran, and there is no row"))
    never_run = skipped(wishes, rows) | spoilt(wishes, rows)
    for job, row in rows.items():
        if job not in wishes:
            found.append(Violation("ghost", job, "nobody asked for it"))
        elif job in never_run:
            found += [Violation(kind, job, why) for kind, why in _not_run(row, ran[job], never_run[job])]
            continue
        else:
            found += [Violation(kind, job, why) for kind, why in _end(row, wishes[job].kind, poison_after)]
        found += [Violation(kind, job, why) for kind, why in _runs(row, ran[job], wishes.get(job))]
    found += effects_once(wishes, rows, effects or {})
    found += keys(wishes, rows, ran)
    found += bodies(wishes, rows, ran)
    return found


def _exists(wish: Wish, rows: Mapping[str, Row], there: bool) -> Iterable[tuple[str, str]]:
    """Whether there has to be a row, or must not be."""
    if wish.holder is not None:
        if there:
            yield "ghost", f"its call got the id of {wish.holder}, and there is a row"
        if wish.outcome == "committed" and wish.holder not in rows:
            yield "lost", f"its call got the id of {wish.holder}, of which there is no row"
    elif (before := wish.after or wish.linked) is not None:
        yield from _followed(wish, rows.get(before), there)
    elif wish.outcome == "committed" and not there:
        yield "lost", "its transaction was committed, and there is no row"
    elif wish.outcome == "rolled_back" and there:
        yield "ghost", "its transaction was rolled back, and there is a row"


def _followed(wish: Wish, before: Row | None, there: bool) -> Iterable[tuple[str, str]]:
    """What follows from a job is there if that job completed; a step of a chain also if it failed, as failed."""
    if before is None or before.state not in FINAL:
        if there:
            yield "ghost", "the job that it follows from has not ended, and there is a row"
    elif before.state == "completed" or wish.after is not None:
        if not there:
            yield "lost", f"the job that it follows from is {before.state}, and there is no row"
    elif there:
        yield "ghost", f"the job that it follows from is {before.state}, and there is a row"


def _not_run(row: Row, starts: list[Start], state: str) -> Iterable[tuple[str, str]]:
    """A step after one that failed, or the body of a chord of which a member did: `state`, without being run."""
    if row.state not in FINAL:
        yield "unfinished", f"it is {row.state} after everything was healed"
    elif row.state != state:
        yield "wrong end", f"what it waited for failed, and it is {row.state} instead of {state}"
    if starts:
        yield "start after a failure", f"what it waited for failed, and it was started {len(starts)} times"


def _end(row: Row, kind: str, poison_after: int) -> Iterable[tuple[str, str]]:
    """How one job should have ended."""
    if row.state not in FINAL:
        yield "unfinished", f"it is {row.state} after everything was healed"
        return
    if row.epoch != 1:
        yield "second life", f"it was inserted {row.epoch} times"
    if row.attempt != len(row.ends):
        yield "attempts", f"{row.attempt} starts were counted, {len(row.ends)} have a row"
    if row.ends.count("completed") + row.ends.count("failed") > 1:
        yield "second commit", f"its attempts ended {', '.join(row.ends)}"
    if row.retries > row.max_retries or row.ends.count("retried") != row.retries:
        yield "retry budget", f"{row.retries} of {row.max_retries} retries, attempts ended {', '.join(row.ends)}"
    poisoned = (
        row.state == "dead_letter" and row.ends[-1:] == ("lost",) and (kind == ONCE or row.strikes >= poison_after)
    )
    if row.state not in EXPECTED.get(kind, ("completed",)) and not poisoned:
        yield "wrong end", f"{kind} ended {row.state} after {', '.join(row.ends)}"
    last = {"completed": "completed", "dead_letter": "failed"}.get(row.state)
    if not poisoned and row.state != "cancelled" and row.ends[-1:] != (last,):
        yield "wrong end", f"it is {row.state}, its attempts ended {', '.join(row.ends)}"


def _runs(row: Row, starts: list[Start], wish: Wish | None) -> Iterable[tuple[str, str]]:
    """Whether the attempts tell of every start, and of every overlap. A snoozed start gives its number back."""
    ended = dict(enumerate(row.ends, start=1))
    numbers = [start.attempt for start in starts if start.snoozed is None]
    for number in {n for n in numbers if numbers.count(n) > 1}:
        yield "second start", f"attempt {number} was started {numbers.count(number)} times"
    if wish is not None and wish.kind == ONCE and len(starts) > 1:
        yield "second start", f"on_lost='dead_letter' forbids it, and it was started {len(starts)} times"
    for number in set(numbers) - ended.keys():
        yield "unexplained start", f"attempt {number} was started and has no row"
    # A process may be killed after its task's commit() and before the ledger's last line.
    own = wish is not None and wish.kind == COMMITTING
    finished = {start.attempt for start in starts if (start.worked_until if own else start.end) is not None}
    for number, end in ended.items():
        if end not in ("lost", "cancelled") and number not in finished:
            yield "commit without work", f"attempt {number} is recorded as {end}, and did not run to its end"
    for early, late in pairwise(sorted(starts, key=lambda start: (start.attempt, start.start))):
        if early.end is not None and late.start < early.end and ended.get(early.attempt) != "lost":
            yield "unexplained overlap", f"attempt {late.attempt} began while attempt {early.attempt} was running"
