"""What the checker asks of several jobs together: chains, chords, unique keys, and effects within `commit()`."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from .evidence import Row, Violation
from .ledger import Start, Wish

COMMITTING = "paying"
"""The kind that has its effect within `commit()`."""


def skipped(wishes: Mapping[str, Wish], rows: Mapping[str, Row]) -> dict[str, str]:
    """Steps of chains that must not run, because the step before them ended without completing, and their state."""
    return {job: "failed" for job, wish in wishes.items() if _failed(wish.after, rows)}


def spoilt(wishes: Mapping[str, Wish], rows: Mapping[str, Row]) -> dict[str, str]:
    """Bodies of chords that must not run, because a member ended without completing, and their state."""
    return {
        body: "dead_letter"
        for body, members in _members(wishes).items()
        if any(_failed(member, rows) for member in members)
    }


def _failed(job: str | None, rows: Mapping[str, Row]) -> bool:
    return job is not None and job in rows and rows[job].ended_otherwise


def bodies(
    wishes: Mapping[str, Wish], rows: Mapping[str, Row], ran: Mapping[str, Sequence[Start]]
) -> Iterator[Violation]:
    """A body begins after the work of each member's last attempt."""
    for body, members in _members(wishes).items():
        began = min((start.start for start in ran.get(body, ())), default=None)
        for member in members:
            row = rows.get(member)
            if began is None or row is None:
                continue
            done = [s.worked_until for s in ran.get(member, ()) if s.attempt == row.attempt and s.worked_until]
            if not done or min(done) > began:
                yield Violation("early body", body, f"it began before the member {member} had completed")


def _members(wishes: Mapping[str, Wish]) -> dict[str, list[str]]:
    members: defaultdict[str, list[str]] = defaultdict(list)
    for job, wish in wishes.items():
        if wish.body is not None:
            members[wish.body].append(job)
    return members


def keys(
    wishes: Mapping[str, Wish], rows: Mapping[str, Row], ran: Mapping[str, Sequence[Start]]
) -> Iterator[Violation]:
    """Of the jobs of one key, none begins while another's attempt runs that was not lost."""
    runs: defaultdict[str, list[Start]] = defaultdict(list)
    for job, wish in wishes.items():
        if wish.key is not None and job in rows:
            runs[wish.key] += [start for start in ran.get(job, ()) if _holds(start, rows[job])]
    for key, starts in runs.items():
        for early, late in pairwise(sorted(starts, key=lambda start: start.start)):
            if early.job != late.job and early.end is not None and late.start < early.end:
                yield Violation("two of one key", late.job, f"it began while {early.job} ran, both of the key {key}")


def _holds(start: Start, row: Row) -> bool:
    """Whether its attempt counted: a worker that was presumed dead may go on when the key is another's."""
    return row.ends[start.attempt - 1 : start.attempt] != ("lost",)


def effects_once(
    wishes: Mapping[str, Wish], rows: Mapping[str, Row], effects: Mapping[str, tuple[int, ...]]
) -> Iterator[Violation]:
    """A completed job of the committing kind has one effect, of its last attempt; nothing else has any."""
    for job in rows.keys() | effects.keys():
        wish, row = wishes.get(job), rows.get(job)
        pays = wish is not None and wish.kind == COMMITTING and row is not None and row.state == "completed"
        wanted = (row.attempt,) if pays and row is not None else ()
        if effects.get(job, ()) != wanted:
            said = f"effects of the attempts {effects.get(job, ())} are in the database"
            yield Violation("effects", job, f"{said}, it is {row.state if row else 'nowhere'} after attempt {wanted}")
