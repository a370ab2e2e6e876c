"""How schedules stand, read under their locks."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from jobs.states import FINAL, State

from .policy import Facts, Rules, failures_in_a_row
from .sql import rows
from .states import Misfire, Overlap
from .times import EPOCH, Times, interval_anchor

RECENT = 50
"""Runs among which the jobs are looked for that are not over, and failures in a row beyond their limit."""


class Standing(NamedTuple):
    """As `read` returns it."""

    id: int
    name: str
    task: str
    args: str | None
    kwargs: str | None
    headers: str | None
    queue: str | None
    beat_priority: int | None
    expire_seconds: int | None
    start_time: datetime | None
    expires: datetime | None
    one_off: bool
    enabled: bool
    runs: int
    every: int | None
    period: str | None
    minute: str | None
    hour: str | None
    day_of_week: str | None
    day_of_month: str | None
    month_of_year: str | None
    zone: str | None
    event: str | None
    latitude: float | None
    longitude: float | None
    at: datetime | None
    anchor_at: datetime
    edited_at: datetime
    next_run_at: datetime | None
    errors: int
    overlap: str
    misfire: str
    misfire_cap: int
    spread: float
    window: float
    jitter: float
    max_runs: int | None
    pause_after_failures: int | None
    streak_from: datetime
    paused_at: datetime | None
    paused_by: str
    paused_reason: str
    paused_until: datetime | None
    priority: int | None
    timeout: float | None
    max_retries: int | None
    expires_after: float | None
    unique_key: str | None
    tags: str | None
    is_waiting: bool

    @property
    def times(self) -> Times:
        return Times(
            *self[14:25],
            at=self.at,
            anchor=interval_anchor(self.start_time, self.anchor_at) if self.every is not None else EPOCH,
        )

    @property
    def rules(self) -> Rules:
        lefts = [1] if self.one_off else []
        if self.max_runs is not None:
            lefts.append(self.max_runs - self.runs)
        return Rules(
            overlap=Overlap(self.overlap),
            misfire=Misfire(self.misfire),
            cap=self.misfire_cap,
            spread=self.spread,
            window=self.window,
            jitter=self.jitter,
            runs_left=min(lefts, default=None),
            starts_at=self.start_time,
            ends_at=self.expires,
        )

    def facts(self, now: datetime, recent: "Recent", *, resumed_at: datetime | None = None) -> Facts:
        """`resumed_at`: the end of the pause that it is in; None: that which was told beforehand."""
        held = (resumed_at or self.paused_until) if self.paused_at is not None else None
        return Facts(
            now=now,
            next_run_at=self.next_run_at,
            # What is due once is due though it was entered a moment too late.
            since=EPOCH if self.at is not None else self.edited_at,
            running=recent.running,
            is_waiting=self.is_waiting,
            paused_until=held,
            paused_why=paused_why(self.paused_by, self.paused_reason),
        )


def paused_why(by: str, reason: str) -> str:
    return f"paused by {by or 'somebody'}" + (f": {reason}" if reason else "")


class Recent(NamedTuple):
    """The jobs of a schedule's latest runs."""

    running: tuple[UUID, ...] = ()
    streak: int = 0


NOTHING = Recent()


def read(ids: Sequence[int]) -> list[Standing]:
    """Schedules that are locked."""
    return [Standing(*row) for row in rows("read", ids=list(ids))] if ids else []


def recents(standings: Iterable[Standing]) -> dict[int, Recent]:
    """By id, of those whose policy asks for it."""
    asked = {one.id: one for one in standings if one.overlap != Overlap.ALLOW or one.pause_after_failures}
    if not asked:
        return {}
    most = RECENT + max(one.pause_after_failures or 0 for one in asked.values())
    found: dict[int, list[tuple]] = {}
    for id_, *run in rows("recent", ids=list(asked), most=most):
        found.setdefault(id_, []).append(tuple(run))
    return {id_: _recent(runs, asked[id_].streak_from) for id_, runs in found.items()}


def _recent(runs: Iterable[tuple[UUID, str | None, datetime]], streak_from: datetime) -> Recent:
    runs = list(runs)
    ends = [State(state) if state in FINAL else None for _, state, at in runs if at >= streak_from]
    return Recent(
        tuple(job for job, state, _ in runs if state is not None and state not in FINAL), failures_in_a_row(ends)
    )
