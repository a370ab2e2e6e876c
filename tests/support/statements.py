"""Statements about leases, called by hand, and what they answer."""

from typing import Any
from uuid import UUID

from jobs.conf import jobs_settings
from jobs.engine.finish import columns_of
from jobs.engine.link import Link
from jobs.engine.maintenance import lose
from jobs.policy import Outcome

from .engine import NODE, new_job, row, won


def moved(link: Link, name: str, **params: Any) -> list[UUID]:
    """The ids that a statement answers."""
    return [row[0] for row in link.rows(name, **params)]


def finish(link: Link, token: UUID, *outcomes: Outcome, done: bool = True) -> set[UUID]:
    return set(moved(link, "finish", **columns_of(outcomes, token=token, node=NODE, done=done)))


def lost(
    link: Link, token: UUID, *, won: bool = True, begun: int | None = None, strike: bool = True
) -> tuple[int, int, int]:
    return lose(link, token, jobs_settings(), won=won, begun=begun, reason="gone", strike=strike)


def leased_twice(link: Link) -> tuple[UUID, UUID, UUID]:
    """A job whose first worker was presumed dead and whose second runs it: job, stale token, true token."""
    job = new_job()
    stale = won(link, [job])
    lost(link, stale)
    return job, stale, won(link, [job])


def untouched(job: UUID, token: UUID) -> None:
    """What `leased_twice` made is as it was."""
    found = row(job)
    assert (found.state, found.lease, found.attempt, found.progress) == ("running", token, 2, None)
