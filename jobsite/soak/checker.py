"""Compares the ledger with the rows, as a pure function: what was promised and did not hold."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from .ledger import Start, Wish

EXPECTED = {"doomed": "dead_letter"}
"""Final state by kind of task; completed for the others."""
FINAL = frozenset({"completed", "failed", "dead_letter", "cancelled", "expired"})


@dataclass(frozen=True, slots=True)
class Row:
    """A job as the database has it in the end; `ends` are its attempts' ends in the order of their numbers."""

    state: str
    attempt: int
    retries: int
    max_retries: int
    strikes: int
    ends: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Violation:
    kind: str
    job: str
    detail: str


def violations(
    wishes: Mapping[str, Wish],
    starts: Iterable[Start],
    rows: Mapping[str, Row],
    *,
    poison_after: int,
    leases: int = 0,
) -> list[Violation]:
    """Everything that the ledger and the rows can't both be right about; empty when every promise held."""
    found = [Violation("lease left", "-", f"{leases} leases are left")] if leases else []
    ran: defaultdict[str, list[Start]] = defaultdict(list)
    for start in starts:
        ran[start.job].append(start)
    for job, wish in wishes.items():
        if wish.outcome == "committed" and job not in rows:
            found.append(Violation("lost", job, "its transaction was committed, and there is no row"))
        if wish.outcome == "rolled_back" and job in rows:
            found.append(Violation("ghost", job, "its transaction was rolled back, and there is a row"))
    for job in ran.keys() - rows.keys():
        found.append(Violation("ghost", job, "it ran, and there is no row"))
    for job, row in rows.items():
        if job not in wishes:
            found.append(Violation("ghost", job, "nobody asked for it"))
        else:
            found += [Violation(kind, job, why) for kind, why in _end(row, wishes[job].kind, poison_after)]
        found += [Violation(kind, job, why) for kind, why in _runs(row, ran[job])]
    return found


def _end(row: Row, kind: str, poison_after: int) -> Iterable[tuple[str, str]]:
    """How one job should have ended."""
    if row.state not in FINAL:
        yield "unfinished", f"it is {row.state} after everything was healed"
        return
    if row.attempt != len(row.ends):
        yield "attempts", f"{row.attempt} starts were counted, {len(row.ends)} have a row"
    if row.ends.count("completed") + row.ends.count("failed") > 1:
        yield "second commit", f"its attempts ended {', '.join(row.ends)}"
    if row.retries > row.max_retries or row.ends.count("retried") != row.retries:
        yield "retry budget", f"{row.retries} of {row.max_retries} retries, attempts ended {', '.join(row.ends)}"
    poisoned = row.state == "dead_letter" and row.strikes >= poison_after and row.ends[-1:] == ("lost",)
    if row.state != EXPECTED.get(kind, "completed") and not poisoned:
        yield "wrong end", f"{kind} ended {row.state} after {', '.join(row.ends)}"
    last = {"completed": "completed", "dead_letter": "failed"}.get(row.state)
    if not poisoned and row.ends[-1:] != (last,):
        yield "wrong end", f"it is {row.state}, its attempts ended {', '.join(row.ends)}"


def _runs(row: Row, starts: list[Start]) -> Iterable[tuple[str, str]]:
    """Whether the attempts tell of every start, and of every overlap."""
    ended = dict(enumerate(row.ends, start=1))
    numbers = [start.attempt for start in starts]
    for number in {n for n in numbers if numbers.count(n) > 1}:
        yield "second start", f"attempt {number} was started {numbers.count(number)} times"
    for number in set(numbers) - ended.keys():
        yield "unexplained start", f"attempt {number} was started and has no row"
    finished = {start.attempt for start in starts if start.end is not None}
    for number, end in ended.items():
        if end != "lost" and number not in finished:
            yield "commit without work", f"attempt {number} is recorded as {end}, and did not run to its end"
    for early, late in pairwise(sorted(starts, key=lambda start: start.attempt)):
        if early.end is not None and late.start < early.end and ended.get(early.attempt) != "lost":
            yield "unexplained overlap", f"attempt {late.attempt} began while attempt {early.attempt} was running"
