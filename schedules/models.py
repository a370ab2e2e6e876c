"""What django-celery-beat's periodic tasks lack: next run, policies, pauses, and the history of every due time."""

from typing import Any

from django.contrib.postgres.functions import TransactionNow
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce
from django_celery_beat.models import PeriodicTask

from jobs.states import choices

from .states import Decided, Kind, Misfire, Overlap, Owner

LONGEST = 366 * 86_400.0
"""Seconds of a window, a jitter or a spread."""
MOST = 1_000
"""Missed due times that are run together at most."""
SECONDS = (MinValueValidator(0), MaxValueValidator(LONGEST))


class Schedule(models.Model):
    """The companion of a periodic task, there for each by a trigger; its policies are edited, the rest is the beat's.

    Start, end, queue and one-off are those of the periodic task: `start_time`, `expires`, `queue`, `one_off`.
    """

    # DO_NOTHING: the database itself takes it along, whoever deletes the periodic task.
    periodic_task = models.OneToOneField(
        PeriodicTask, models.DO_NOTHING, primary_key=True, related_name="companion", db_constraint=False
    )
    next_run_at = models.DateTimeField(null=True, blank=True, help_text="Empty: to be computed, or there is none.")
    retry_at = models.DateTimeField(null=True, blank=True, help_text="After an error: when the beat tries it again.")
    error = models.TextField(db_default="", blank=True, help_text="Why the beat could not do its part for it.")
    errors = models.PositiveIntegerField(db_default=0, help_text="Errors in a row.")
    active = models.BooleanField(db_default=True, help_text="Enabled, and not over.")
    anchor_at = models.DateTimeField(db_default=TransactionNow(), help_text="Intervals are counted from here.")
    edited_at = models.DateTimeField(db_default=TransactionNow(), help_text="No due time before it is made up.")

    overlap = models.TextField(
        choices=choices(Overlap),
        db_default=Overlap.ALLOW,
        default=Overlap.ALLOW,
        help_text="What becomes of a run that is due while an earlier one is not over.",
    )
    misfire = models.TextField(
        choices=choices(Misfire),
        db_default=Misfire.RUN_ONCE,
        default=Misfire.RUN_ONCE,
        help_text="What becomes of runs that are found later than the window allows, after an outage or a pause.",
    )
    misfire_cap = models.PositiveSmallIntegerField(
        db_default=100,
        default=100,
        validators=(MinValueValidator(1), MaxValueValidator(MOST)),
        help_text="Of 'run all': so many of the latest are run, the others are missed.",
    )
    spread = models.FloatField(
        db_default=0.0, default=0.0, validators=SECONDS, help_text="Of 'run all': seconds over which they start."
    )
    window = models.FloatField(
        db_default=60.0,
        default=60.0,
        validators=SECONDS,
        help_text="Seconds after its time within which a run still counts as on time.",
    )
    jitter = models.FloatField(
        db_default=0.0, default=0.0, validators=SECONDS, help_text="Each run starts up to so many seconds later."
    )
    max_runs = models.PositiveIntegerField(
        null=True, blank=True, help_text="The schedule is over when its total run count gets there; empty: no limit."
    )
    pause_after_failures = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=(MinValueValidator(1), MaxValueValidator(MOST)),
        help_text="Failed runs in a row after which it pauses itself; empty: never.",
    )
    failure_streak = models.PositiveIntegerField(db_default=0, help_text="Failed runs in a row, as last looked at.")
    streak_from = models.DateTimeField(db_default=TransactionNow(), help_text="Earlier runs don't count for it.")

    paused_at = models.DateTimeField(null=True, blank=True)
    paused_by = models.TextField(db_default="", blank=True)
    paused_reason = models.TextField(db_default="", blank=True)
    paused_until = models.DateTimeField(null=True, blank=True, help_text="It resumes by itself then; empty: by hand.")

    priority = models.SmallIntegerField(
        null=True,
        blank=True,
        validators=(MinValueValidator(-100), MaxValueValidator(100)),
        help_text="Of its jobs, −100 to 100; empty: the task's.",
    )
    timeout = models.FloatField(
        null=True, blank=True, validators=(MinValueValidator(0.001),), help_text="Seconds a job may run."
    )
    max_retries = models.PositiveIntegerField(null=True, blank=True, help_text="Of each job; empty: the task's.")
    expires_after = models.FloatField(
        null=True,
        blank=True,
        validators=(MinValueValidator(0.001), MaxValueValidator(LONGEST)),
        help_text="Seconds after which a job that has not started expires; empty: the periodic task's expire_seconds.",
    )
    unique_key = models.TextField(
        null=True, blank=True, help_text="At most one job of the task holds it at a time; empty: the task's."
    )
    tags = models.JSONField(null=True, blank=True, help_text="String to string, of each job.")

    managed_by = models.TextField(choices=choices(Owner), db_default="", default="", blank=True)
    editable = models.BooleanField(db_default=True, default=True, help_text="Whether people may edit it.")
    withdrawn = models.BooleanField(db_default=False, default=False, help_text="Its declaration has left the code.")

    class Meta:
        permissions = (
            ("run_schedule", "Can run schedules now"),
            ("pause_schedule", "Can pause and resume schedules"),
            ("backfill_schedule", "Can run past times of schedules"),
        )
        constraints = (
            models.CheckConstraint(condition=Q(overlap__in=list(Overlap)), name="schedules_overlap_is_known"),
            models.CheckConstraint(condition=Q(misfire__in=list(Misfire)), name="schedules_misfire_is_known"),
            models.CheckConstraint(
                condition=Q(window__range=(0, LONGEST), jitter__range=(0, LONGEST), spread__range=(0, LONGEST)),
                name="schedules_seconds_are_possible",
            ),
            models.CheckConstraint(condition=Q(misfire_cap__range=(1, MOST)), name="schedules_cap_is_possible"),
            models.CheckConstraint(
                condition=Q(priority=None) | Q(priority__range=(-100, 100)), name="schedules_priority_is_possible"
            ),
        )
        indexes = (
            models.Index(
                Coalesce("retry_at", "next_run_at"),
                condition=Q(active=True, paused_at=None),
                name="schedules_due",
            ),
            models.Index(
                fields=["paused_until"], condition=Q(active=True, paused_until__isnull=False), name="schedules_resuming"
            ),
        )

    def __str__(self) -> str:
        return str(self.periodic_task)

    def clean(self) -> None:
        tags: Any = self.tags
        if tags and not (
            isinstance(tags, dict) and all(isinstance(text, str) for pair in tags.items() for text in pair)
        ):
            raise ValidationError({"tags": "Tags are a JSON object of strings to strings."})

    @property
    def is_paused(self) -> bool:
        return self.paused_at is not None


class Occurrence(models.Model):
    """One due time, or a range of them of which the same was decided. The beat's and the verbs' to write."""

    schedule = models.ForeignKey(
        Schedule, models.DO_NOTHING, related_name="occurrences", db_constraint=False, db_index=False
    )
    due_at = models.DateTimeField(help_text="When it was due; the first of a range.")
    last_due_at = models.DateTimeField(null=True, blank=True, help_text="The last of a range.")
    count = models.PositiveIntegerField(db_default=1, default=1, help_text="Due times of the range.")
    kind = models.TextField(choices=choices(Kind))
    state = models.TextField(choices=choices(Decided))
    reason = models.TextField(db_default="", default="", blank=True)
    # No foreign key: the history outlives the jobs.
    job_id = models.UUIDField(null=True, blank=True, help_text="The job that was made for it.")
    run_at = models.DateTimeField(null=True, blank=True, help_text="Start of its job, if not at once.")
    waits_for = models.UUIDField(null=True, blank=True, help_text="The job whose end it waits for.")
    decided_at = models.DateTimeField(db_default=TransactionNow())
    actor = models.TextField(db_default="", default="", blank=True, help_text="Who asked for it; empty: the schedule.")

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["schedule", "due_at", "kind"],
                condition=Q(kind__in=[Kind.SCHEDULE, Kind.BACKFILL]),
                name="schedules_once_a_due_time",
            ),
            models.UniqueConstraint(
                fields=["schedule"], condition=Q(state=Decided.WAITING), name="schedules_one_waits"
            ),
        )
        indexes = (
            models.Index(fields=["schedule", "-id"], name="schedules_history"),
            models.Index(fields=["schedule", "-id"], condition=Q(job_id__isnull=False), name="schedules_runs"),
            models.Index(fields=["job_id"], condition=Q(job_id__isnull=False), name="schedules_of_job"),
            models.Index(fields=["decided_at"], name="schedules_oldest"),
        )

    def __str__(self) -> str:
        return f"{self.due_at:%Y-%m-%d %H:%M:%S} {self.state}"

    @property
    def late(self) -> float:
        """Seconds from the due time to the decision."""
        return (self.decided_at - (self.last_due_at or self.due_at)).total_seconds()


class Beat(models.Model):
    """A running `celery beat`; it renews its row every few seconds."""

    name = models.TextField(primary_key=True, help_text="Host and process.")
    started_at = models.DateTimeField(db_default=TransactionNow())
    ticked_at = models.DateTimeField(db_default=TransactionNow(), help_text="Its last sign of life.")
    skew = models.FloatField(help_text="Seconds by which its own clock is before the database's.")

    def __str__(self) -> str:
        return self.name
