"""Lists of jobs are read along indexes in the lists' own order; each but the first is of finished jobs only."""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models
from django.db.models import Q

FINISHED = Q(finished_at__isnull=False)


class Migration(migrations.Migration):
    atomic = False  # while they are built, jobs are written as ever
    dependencies = (("jobs", "0012_domain_hours"),)
    operations = (
        AddIndexConcurrently(
            model_name="job", index=models.Index(fields=["created_at", "id"], name="jobs_newest_first")
        ),
        RemoveIndexConcurrently(model_name="job", name="jobs_newest"),
        AddIndexConcurrently(
            model_name="job",
            index=models.Index(fields=["task", "queue", "created_at", "id"], condition=FINISHED, name="jobs_lanes"),
        ),
        RemoveIndexConcurrently(model_name="job", name="jobs_finished_by_task"),
        AddIndexConcurrently(
            model_name="job",
            index=models.Index(
                fields=["state", "created_at", "id"],
                condition=Q(state__in=["cancelled", "dead_letter", "expired", "failed"]),
                name="jobs_ended_badly",
            ),
        ),
        AddIndexConcurrently(
            model_name="job",
            index=GinIndex(
                fields=["tags"],
                opclasses=["jsonb_path_ops"],
                condition=FINISHED & Q(tags__isnull=False),
                name="jobs_by_tag",
            ),
        ),
    )
