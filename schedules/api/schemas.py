"""What the API of schedules takes and gives."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool

from jobs.api.schemas import Label, Priority, Seconds, Word

from ..states import Decided, Misfire, Overlap
from ..verbs import LONGEST, MOST

Count = Annotated[int, Field(strict=True, ge=1, le=1000)]
Positive = Annotated[float, Field(strict=True, gt=0, le=315_360_000)]
Text = Annotated[Label, Field(max_length=300)]
Reason = Annotated[Label, Field(max_length=LONGEST)]
Prose = Annotated[str, Field(max_length=10_000)]
Aware = Annotated[AwareDatetime, BeforeValidator(lambda value: _text(value))]
"""A moment as text: a number would be taken for seconds since 1970."""


def _text(value: Any) -> Any:
    if value is not None and not isinstance(value, str):
        raise ValueError("Expected a moment as text with its offset, as 2026-12-24T18:00:00Z.")
    return value


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class ScheduleChange(Strict):
    """Fields to change; the others stay as they are."""

    name: Word = ""
    task: Word = ""
    """Name of a registered task."""
    when: Text = ""
    """`0 8 * * mon-fri`, `@daily`, `@every 5m`, `@at 2026-12-24T18:00`, `@solar sunrise 52.52 13.41`."""
    timezone: Word | None = None
    """Of wall-clock times, as Europe/Berlin; null: the site's."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    headers: dict[str, Any] = {}
    queue: Word | None = None
    enabled: StrictBool = True
    description: Prose = ""
    starts_at: Aware | None = None
    """Nothing is due before; an interval is counted from it."""
    ends_at: Aware | None = None
    """Nothing is due from then on."""
    overlap: Overlap = Overlap.ALLOW
    """What becomes of a run that is due while an earlier one is not over."""
    misfire: Misfire = Misfire.RUN_ONCE
    """What becomes of runs that are found later than the window allows."""
    misfire_cap: Count = 100
    """Of run_all: so many of the latest are run."""
    spread: Seconds = 0.0
    """Of run_all: seconds over which they start."""
    window: Seconds = 60.0
    """Seconds after its time within which a run still counts as on time."""
    jitter: Seconds = 0.0
    """Each run starts up to so many seconds later."""
    max_runs: Annotated[int, Field(strict=True, ge=1, lt=2**31)] | None = None
    """It is over when it has run so often."""
    pause_after_failures: Count | None = None
    """It pauses itself after so many failed runs in a row."""
    priority: Priority | None = None
    """Of its jobs; null: the task's."""
    timeout: Positive | None = None
    """Seconds a job may run."""
    max_retries: Annotated[int, Field(strict=True, ge=0, le=10_000)] | None = None
    expires_after: Positive | None = None
    """Seconds after which a job that has not started expires."""
    unique_key: Word | None = None
    tags: dict[str, str] | None = None


class NewSchedule(ScheduleChange):
    """All fields of a schedule: one that is not given is as it is by default."""

    name: Word
    task: Word
    when: Text


class Asked(Strict):
    reason: Reason = ""
    """Kept in the audit log."""


class Pause(Asked):
    until: Aware | None = None
    """When it resumes by itself."""


class Backfill(Asked):
    start: Aware
    end: Aware
    """Both have passed; what is due at either counts."""
    dry_run: StrictBool = False
    """Say what would run, and run nothing."""
    cap: Annotated[int, Field(strict=True, ge=1, le=MOST)] = 100
    """So many are run at most, the earliest first."""
    spread: Seconds = 0.0
    """Seconds over which they start."""


class Preview(Strict):
    when: Text
    timezone: Word | None = None
    count: Annotated[int, Field(strict=True, ge=1, le=1000)] = 10
    starts_at: Aware | None = None
    ends_at: Aware | None = None


class Filters(Strict):
    q: str = ""
    """A part of the name."""
    task: str | None = None
    enabled: bool | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    cursor: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """`next_cursor` of the page before."""


class HistoryFilters(Strict):
    state: Decided | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    cursor: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    """`next_cursor` of the page before."""


class Occurrence(BaseModel):
    id: int
    due_at: datetime
    last_due_at: datetime | None
    """Of a range of due times of which the same was decided: the last one."""
    count: int
    kind: str
    state: str
    reason: str
    late: float
    """Seconds from the due time to the decision."""
    job_id: UUID | None
    job_status: str | None
    run_at: datetime | None
    waits_for: UUID | None
    decided_at: datetime
    actor: str | None


class Occurrences(BaseModel):
    occurrences: list[Occurrence]
    next_cursor: int | None


class Paused(BaseModel):
    at: datetime
    by: str
    reason: str
    until: datetime | None


class Schedule(BaseModel):
    id: int
    name: str
    task: str
    when: str
    timezone: str | None
    words: str
    """What `when` means."""
    args: list[Any]
    kwargs: dict[str, Any]
    headers: dict[str, Any]
    queue: str | None
    enabled: bool
    description: str
    starts_at: datetime | None
    ends_at: datetime | None
    overlap: str
    misfire: str
    misfire_cap: int
    spread: float
    window: float
    jitter: float
    max_runs: int | None
    pause_after_failures: int | None
    priority: int | None
    timeout: float | None
    max_retries: int | None
    expires_after: float | None
    unique_key: str | None
    tags: dict[str, str] | None
    state: Literal["enabled", "paused", "disabled"]
    next_run_at: datetime | None
    last_run_at: datetime | None
    last_run: Occurrence | None
    runs: int
    failure_streak: int
    paused: Paused | None
    error: str | None
    owner: str | None
    editable: bool
    updated_at: datetime


class Schedules(BaseModel):
    schedules: list[Schedule]
    total: int
    next_cursor: int | None


class Triggered(BaseModel):
    job_id: UUID | None
    """Null: the task is one that no job stands for."""
    status: str
    schedule_id: int


class Backfilled(BaseModel):
    dry_run: bool
    due: list[datetime]
    existing: list[datetime]
    """Those that have a run already."""
    job_ids: list[UUID]
    """Of the runs that were made now."""
    more: bool
    """Whether the range holds more due times than were looked at."""


class Due(BaseModel):
    at: datetime
    local: str
    dst: Literal["gap", "overlap"] | None
    """gap: the clock skips ahead to it; overlap: the clock shows this time twice, and it runs the first time."""


class Forecast(BaseModel):
    words: str
    timezone: str
    runs: list[Due]
