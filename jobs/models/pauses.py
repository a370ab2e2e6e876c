"""What operators hold back, besides whole queues."""

from enum import StrEnum

from django.contrib.postgres.functions import TransactionNow
from django.db import models

from ..states import choices
from .jobs import Job


class Held(StrEnum):
    """What a pause is of."""

    TASK = "task"
    KEY = "key"
    TAG = "tag"


class Pause(models.Model):
    """Jobs of a task, with a unique key or with a tag don't start while it stands; the dispatcher sets them aside."""

    kind = models.TextField(choices=choices(Held))
    name = models.TextField(help_text="The whole name of a task or a tag, or a unique key.")
    value = models.TextField(null=True, blank=True, help_text="Of a tag; empty: whatever its value.")
    reason = models.TextField(blank=True, db_default="")
    paused_by = models.TextField(blank=True, db_default="")
    paused_at = models.DateTimeField(db_default=TransactionNow())
    until = models.DateTimeField(null=True, blank=True, help_text="It ends by itself then; empty: when it is lifted.")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["kind", "name", "value"], nulls_distinct=False, name="jobs_one_pause"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.what}"

    def holds(self, job: Job) -> bool:
        """Whether it is of this job; as the statements `front` and `hold` say it."""
        match self.kind:
            case Held.TASK:
                return self.name == job.task
            case Held.KEY:
                return self.name == job.unique_key
        tags = job.tags or {}
        return self.name in tags and self.value in (None, tags[self.name])

    @property
    def what(self) -> str:
        """As an operator writes it: a tag is `name` or `name=value`."""
        return self.name if self.value is None else f"{self.name}={self.value}"
