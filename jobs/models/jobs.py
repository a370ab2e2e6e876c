"""The records of the platform. Written by `jobs.engine` in SQL, read through the ORM."""

from collections.abc import Iterable

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import TransactionNow
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Q
from django.db.models.lookups import Exact, In, IsNull

from ..states import FINAL, LEASED, End, State, choices
from .references import JobQuerySet
from .written import EngineWritten

STRICT_AGING = 10**15
"""µs a priority point weighs in strict mode: no waiting of a lifetime makes up for one point."""


def exactly_in(states: Iterable[str], column: str) -> Exact:
    """The column has a value in these states and in no other.

    Each statement that writes jobs reads its constraints anew, so they are short: said as two cases, with AND and OR,
    these took an insert twice as long.
    """
    return Exact(In(F("state"), sorted(states)), IsNull(F(column), False))


class Job(EngineWritten):
    """One wish to run a task once. Its key is the Celery task id."""

    id = models.UUIDField(primary_key=True)
    epoch = models.IntegerField(db_default=1, help_text="Life of this id: grows when a finished job runs again.")
    task = models.TextField()
    name = models.TextField(db_default="", blank=True, help_text="Free label.")
    queue = models.TextField()
    state = models.TextField(choices=choices(State))
    priority = models.SmallIntegerField()
    rank = models.BigIntegerField(help_text="Order within the queue, µs: ready_at − priority × aging.")
    ready_at = models.DateTimeField(help_text="When it first could run; kept when a lost job returns.")
    run_at = models.DateTimeField(null=True, blank=True, help_text="Next start of a scheduled or retrying job.")
    expires_at = models.DateTimeField(null=True, blank=True)
    attempt = models.IntegerField(db_default=0, help_text="Starts in this epoch.")
    retries = models.IntegerField(db_default=0, help_text="Retries spent in this epoch.")
    max_retries = models.IntegerField(null=True, blank=True, help_text="Empty: no limit.")
    strikes = models.IntegerField(db_default=0, help_text="Times it was lost while travelling alone.")
    lease = models.UUIDField(null=True, blank=True, help_text="Fence of the current dispatch.")
    pause = models.BigIntegerField(null=True, blank=True, help_text="The pause that holds it.")
    args = models.TextField(help_text="JSON array.")
    kwargs = models.TextField(help_text="JSON object.")
    options = models.TextField(null=True, blank=True, help_text="JSON object: Celery's call options.")
    result = models.TextField(null=True, blank=True, help_text="JSON.")
    error = models.TextField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True, help_text="Its worker is asked to stop it.")
    progress = models.JSONField(null=True, blank=True)
    tags = models.JSONField(null=True, blank=True, help_text="String to string.")
    reference_type = models.TextField(null=True, blank=True)
    reference_id = models.TextField(null=True, blank=True)
    unique_key = models.TextField(null=True, blank=True, help_text="At most one job of its task holds it.")
    given_key = models.TextField(null=True, blank=True, help_text="Unique key of its call: a requeue takes it again.")
    unique_until = models.DateTimeField(
        null=True, blank=True, help_text="The key is held so long, even by a finished job."
    )
    retry_until = models.DateTimeField(null=True, blank=True, help_text="No retry begins after it.")
    chord = models.UUIDField(null=True, blank=True, help_text="Chord of which it is a member.")
    after = models.UUIDField(
        null=True, blank=True, help_text="Chord it waits for; its own id: the job that takes over."
    )
    children = models.TextField(
        null=True, blank=True, help_text="JSON: results of the jobs it called, as Celery lists them."
    )
    worker = models.TextField(null=True, blank=True, help_text="Node name of the last start.")
    created_by = models.TextField(null=True, blank=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        permissions = (
            ("requeue_job", "Can requeue failed jobs"),
            ("cancel_job", "Can cancel jobs"),
            ("boost_job", "Can change the priority of jobs"),
            ("postpone_job", "Can change when waiting jobs may start"),
            ("purge_job", "Can delete finished jobs"),
        )
        constraints = (
            models.CheckConstraint(condition=Q(priority__range=(-100, 100)), name="jobs_priority_is_between_100s"),
            models.CheckConstraint(condition=exactly_in(FINAL, "finished_at"), name="jobs_final_has_end"),
            models.CheckConstraint(condition=exactly_in(LEASED, "lease"), name="jobs_leased_has_lease"),
            models.CheckConstraint(condition=exactly_in({State.PAUSED}, "pause"), name="jobs_paused_has_pause"),
            models.UniqueConstraint(
                fields=["task", "unique_key"],
                condition=Q(unique_key__isnull=False),
                name="jobs_one_live_job_per_unique_key",
            ),
        )
        # Live rows pay for the first four only; every other search index is partial on finished rows. The first one
        # costs a job about 5 µs of PostgreSQL: a list that begins with the newest has no other way, as ids don't tell,
        # and all of a bulk call are created at one moment.
        indexes = (
            models.Index(fields=["created_at", "id"], name="jobs_newest_first"),
            models.Index(fields=["queue", "rank", "id"], condition=Q(state="pending"), name="jobs_ready"),
            models.Index(fields=["run_at"], condition=Q(state__in=["scheduled", "retrying"]), name="jobs_waiting"),
            models.Index(fields=["pause", "queue", "rank"], condition=Q(state="paused"), name="jobs_paused"),
            models.Index(
                fields=["expires_at"],
                condition=Q(expires_at__isnull=False, finished_at__isnull=True),
                name="jobs_expiring",
            ),
            models.Index(fields=["finished_at"], condition=Q(finished_at__isnull=False), name="jobs_finished"),
            # One for both: a site has few pairs of task and queue, and steps from one to the next are cheap.
            models.Index(
                fields=["task", "queue", "created_at", "id"], condition=Q(finished_at__isnull=False), name="jobs_lanes"
            ),
            models.Index(
                fields=["state", "created_at", "id"],
                condition=Q(state__in=sorted(FINAL - {State.COMPLETED})),
                name="jobs_ended_badly",
            ),
            GinIndex(
                fields=["tags"],
                opclasses=["jsonb_path_ops"],
                condition=Q(finished_at__isnull=False, tags__isnull=False),
                name="jobs_by_tag",
            ),
            models.Index(
                fields=["queue", "state", "finished_at"],
                condition=Q(state__in=["dead_letter", "failed"]),
                name="jobs_dead_letters",
            ),
            models.Index(
                fields=["reference_type", "reference_id"],
                condition=Q(reference_id__isnull=False),
                name="jobs_by_reference",
            ),
            models.Index(fields=["chord"], condition=Q(chord__isnull=False), name="jobs_by_chord"),
            models.Index(fields=["after"], condition=Q(state="blocked"), name="jobs_blocked"),
            models.Index(
                fields=["chord"],
                condition=Q(chord__isnull=False, state__in=sorted(FINAL - {State.COMPLETED})),
                name="jobs_spoiling_a_chord",
            ),
            models.Index(
                fields=["unique_until"],
                condition=Q(unique_until__isnull=False, unique_key__isnull=False, finished_at__isnull=False),
                name="jobs_keys_to_release",
            ),
        )

    def __str__(self) -> str:
        return f"{self.name or self.task} {self.id}"

    @property
    def is_final(self) -> bool:
        return self.state in FINAL

    @property
    def retry_count(self) -> int:
        return max(0, self.attempt - 1)


class Attempt(EngineWritten):
    """One started run of a job: the history of workers."""

    pk = models.CompositePrimaryKey("job_id", "epoch", "number")
    # No constraint in the database: its check would cost as much as the insert, and only the engine deletes jobs.
    job = models.ForeignKey(Job, models.DO_NOTHING, related_name="attempts", db_constraint=False, db_index=False)
    epoch = models.IntegerField()
    number = models.IntegerField()
    worker = models.TextField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField()
    end = models.TextField(choices=choices(End))
    error = models.TextField(null=True)
    traceback = models.TextField(null=True)

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.job_id}: {self.end}"


class Lease(EngineWritten):
    """One broker message: the jobs it stands for and who won it. Deleted when they are recorded or returned."""

    token = models.UUIDField(primary_key=True)
    queue = models.TextField()
    routing_key = models.TextField(help_text="Broker queue the token was sent to.")
    job_ids = ArrayField(models.UUIDField())
    payload = models.TextField(help_text="JSON: the jobs with their arguments, read by the winner.")
    sent_at = models.DateTimeField()
    worker = models.UUIDField(null=True, blank=True, help_text="Boot that won it.")
    won_at = models.DateTimeField(null=True, blank=True)
    place = models.FloatField(db_default=1.0, help_text="Part of a place in the window that it takes.")
    receipt = models.UUIDField(
        null=True, blank=True, help_text="Of the win: repeated after a lost reply, it is one win."
    )

    def __str__(self) -> str:
        return f"{len(self.job_ids)} jobs of {self.queue}"


class Chord(EngineWritten):
    """A group whose results go to a body: the body is a blocked job until every member has completed."""

    id = models.UUIDField(primary_key=True)
    size = models.IntegerField(help_text="Members; each completes once.")
    done = models.IntegerField(db_default=0, help_text="Members that have completed.")
    members = models.TextField(
        db_default="[]", help_text="JSON: ids of the members in the shape that their results take."
    )
    created_at = models.DateTimeField(db_default=TransactionNow())

    def __str__(self) -> str:
        return f"chord {self.id}: {self.done} of {self.size}"


class Queue(models.Model):
    """A named lane. A row appears at first use; operators edit it."""

    name = models.TextField(primary_key=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_reason = models.TextField(blank=True, db_default="")
    aging_us = models.BigIntegerField(
        db_default=360_000_000,
        help_text=f"µs of waiting that weigh as much as one point of priority; {STRICT_AGING} is strict priority.",
    )
    ranked_us = models.BigIntegerField(
        null=True, blank=True, editable=False, help_text="aging_us by which its pending jobs were last ranked."
    )
    weight = models.PositiveSmallIntegerField(db_default=1, help_text="Share of carriers beside the other queues.")
    max_size = models.PositiveIntegerField(
        null=True, blank=True, help_text="Waiting jobs above which calls are refused with QueueFull; empty: no limit."
    )
    dead_letter_cap = models.PositiveIntegerField(
        null=True, blank=True, help_text="Dead letters kept, the oldest leave first; empty: JOBS_DEAD_LETTER_CAP."
    )
    dead_letter_days = models.PositiveIntegerField(
        null=True, blank=True, help_text="Days that dead letters are kept; empty: JOBS_DEAD_LETTER_DAYS."
    )
    created_at = models.DateTimeField(db_default=TransactionNow())

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(weight__gte=1), name="jobs_queue_weight_is_positive"),
            # Above it a rank would not fit, and every call to the queue would fail.
            models.CheckConstraint(
                condition=Q(aging_us__gte=0, aging_us__lte=STRICT_AGING), name="jobs_queue_aging_gives_a_rank"
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def is_strict(self) -> bool:
        return self.aging_us >= STRICT_AGING


class Worker(EngineWritten):
    """One boot of one worker process; its heartbeat keeps every lease it won."""

    id = models.UUIDField(primary_key=True)
    name = models.TextField(help_text="Celery node name.")
    host = models.TextField(help_text="Machine and process namespace, to find earlier boots on the same host.")
    pid = models.IntegerField()
    slots = models.IntegerField()
    queues = ArrayField(models.TextField(), null=True, help_text="Empty: all queues, later ones too.")
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField()
    stopping_at = models.DateTimeField(null=True)
    stopped_at = models.DateTimeField(null=True)
    lost_at = models.DateTimeField(null=True, help_text="When it was presumed dead; its boot can win nothing more.")

    def __str__(self) -> str:
        return self.name


class AuditEntry(models.Model):
    """One request of an operator, or a refusal of the platform. Append only."""

    at = models.DateTimeField(db_default=TransactionNow())
    actor = models.TextField()
    action = models.TextField()
    resource_type = models.TextField()
    resource_id = models.TextField()
    detail = models.JSONField(default=dict)
    ip = models.GenericIPAddressField(null=True)

    class Meta:
        verbose_name_plural = "audit entries"
        indexes = (models.Index(fields=["resource_type", "resource_id"], name="jobs_audit_by_resource"),)

    def __str__(self) -> str:
        return f"{self.action} {self.resource_type} {self.resource_id} by {self.actor}"
