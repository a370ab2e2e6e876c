"""What the API takes and gives."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    AliasChoices,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)

from ..engine.newjob import priority_number
from ..policy import PRIORITIES

FURTHEST = 315_360_000
"""Seconds, ten years: how far ahead a job may be planned."""

NOT_YET = {
    "depends_on": "Not supported yet: let the first task call the next one, or use a chain.",
}
"""Fields of the contract that are refused, because ignoring them would be a lie."""


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("A NUL character can't be stored; remove it.")
    return text


def _near(moment: datetime) -> datetime:
    # Aware moments compare without conversion, which overflows at the end of the calendar.
    if moment > datetime.now(UTC) + timedelta(seconds=FURTHEST):
        raise ValueError("This is more than ten years ahead.")
    return moment


def _expiry(value: Any) -> float | datetime | None:
    if value is None:
        return None
    try:
        return SECONDS.validate_python(value) if isinstance(value, int | float) else MOMENT.validate_python(value)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error


Word = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_storable)]
Label = Annotated[str, Field(max_length=500), AfterValidator(_storable)]
Seconds = Annotated[float, Field(strict=True, ge=0, le=FURTHEST)]
Moment = Annotated[AwareDatetime, AfterValidator(_near)]
SECONDS, MOMENT = TypeAdapter(Seconds), TypeAdapter(Moment)
Priority = Annotated[
    int,
    BeforeValidator(priority_number),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": -100, "maximum": 100}, {"type": "string", "enum": [*PRIORITIES]}]}
    ),
]


class Reference(BaseModel):
    """What a job is about, in the caller's own words."""

    model_config = ConfigDict(extra="forbid")
    type: Word
    id: Word


class SubmitJob(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    task: Annotated[Label, Field(validation_alias=AliasChoices("task", "handler", "type"))]
    """Name of a registered task; also accepted as `handler` or `type`."""
    args: list[Any] = []
    kwargs: Annotated[dict[str, Any], Field(validation_alias=AliasChoices("kwargs", "params"))] = {}
    """Also accepted as `params`."""
    queue: Word | None = None
    priority: Priority | None = None
    """A number, higher first, or low (0), normal (10), high (20), critical (30)."""
    delay: Seconds | None = None
    """Seconds until the job may start."""
    run_at: Moment | None = None
    """When the job may start."""
    expires: Annotated[
        float | datetime | None,
        BeforeValidator(_expiry),
        WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "format": "date-time"}]}),
    ] = None
    """Seconds, or the moment, after which the job is not started any more."""
    max_retries: Annotated[int, Field(strict=True, ge=0, le=10_000)] | None = None
    """Runs after the first one that failed."""
    retry_delay: Seconds | None = None
    """Seconds before the first of them."""
    retry_backoff: Annotated[float, Field(strict=True, ge=1, le=1000)] | None = None
    """Factor from one retry's delay to the next."""
    retry_backoff_max: Seconds | None = None
    """Longest delay before a retry, seconds."""
    retry_for: Annotated[float, Field(strict=True, gt=0, le=FURTHEST)] | None = None
    """Seconds from now after which no retry begins."""
    timeout: Annotated[float, Field(strict=True, gt=0, le=FURTHEST)] | None = None
    """Seconds one run may take before its process is killed."""
    unique_key: Word | None = None
    """At most one live job of the task holds this key."""
    unique_for: Seconds | None = None
    """Seconds that the key is held at least, also when the job is over by then."""
    on_conflict: Literal["existing", "replace", "raise"] | None = None
    """When another job holds the key: answer with it (the default), put this one in its place, or refuse with 409."""
    name: Label | None = None
    tags: dict[str, str] | None = None
    reference: Reference | None = None


class JobStatus(BaseModel):
    job_id: UUID
    status: str
    state: str
    progress: dict[str, Any] | None
    attempts: int
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    next_retry_at: datetime | None


class Cancelled(BaseModel):
    cancelled: bool
    cancel_requested: bool


class Retried(BaseModel):
    job_id: UUID
    status: str


class Reason(BaseModel):
    code: str
    text: str
    advice: str


class Explained(BaseModel):
    job_id: UUID
    state: str
    reasons: list[Reason]


class JobResult(BaseModel):
    job_id: UUID
    status: str
    state: str
    result: Any
    error: str | None
    duration: float | None
    completed_at: datetime | None


class Referenced(BaseModel):
    """What a job is about; code may have named it at greater length than the API takes."""

    type: str
    id: str


class ListedJob(JobStatus):
    """A job without its arguments and its result: `/api/jobs/{id}` has those."""

    id: UUID
    type: str
    task: str
    name: str
    queue: str
    priority: int
    attempt: int
    retry_count: int
    max_retries: int | None
    tags: dict[str, str]
    reference: Referenced | None
    worker: str | None
    created_by: str | None
    error: str | None
    duration: float | None
    run_at: datetime | None
    expires_at: datetime | None
    updated_at: datetime
    finished_at: datetime | None


class Job(ListedJob, JobResult):
    """Everything about one job."""

    args: list[Any]
    kwargs: dict[str, Any]
    timeout: float | None


class ListJobs(BaseModel):
    """Which jobs, and which of them first. A filter may be given more than once: either will do, of tags all."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    status: list[str] = []
    """A word of `status` or `state`, or one of the groups failed (with dead_letter), active, finished."""
    state: list[str] = []
    """One state exactly."""
    task: list[str] = []
    queue: list[str] = []
    worker: list[str] = []
    tag: list[str] = []
    """`key`, or `key=value`."""
    reference: list[str] = []
    """`type:id`."""
    created_after: list[str] = []
    """A moment in ISO 8601 (UTC unless it says otherwise), or a span from now, as -24h."""
    created_before: list[str] = []
    q: str = ""
    """The query language: `state:failed queue:mail args.user_id:42 created:>-24h -tag:x`."""
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100
    offset: Annotated[int, Field(ge=0, le=10_000)] | None = None
    page: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Instead of `offset`: pages of `limit` jobs, from 1."""
    cursor: str | None = None
    """`next_cursor` of the page before: quick however far back, and the same whatever was created meanwhile."""


class JobList(BaseModel):
    """A page, newest first; short of `limit` and with a `next_cursor`, there may be more further back."""

    jobs: list[ListedJob]
    total: int
    total_exact: bool
    """False: `total` is an estimate above 10,000, or of a search that no index helps."""
    page: int
    next_cursor: str | None


class Problem(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[dict[str, str]] = []
