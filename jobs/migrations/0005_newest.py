"""Lists of jobs begin with the newest; without an index they sort the whole table."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # while it is built, jobs are written as ever
    dependencies = (("jobs", "0004_operator"),)
    operations = (
        AddIndexConcurrently(model_name="job", index=models.Index(fields=["created_at"], name="jobs_newest")),
    )
