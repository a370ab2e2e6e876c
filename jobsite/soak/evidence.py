"""What the database says of a job in the end, and what a contradiction looks like."""

from dataclasses import dataclass

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
    epoch: int = 1

    @property
    def ended_otherwise(self) -> bool:
        """Whether it is over without having completed."""
        return self.state in FINAL and self.state != "completed"


@dataclass(frozen=True, slots=True)
class Violation:
    kind: str
    job: str
    detail: str
