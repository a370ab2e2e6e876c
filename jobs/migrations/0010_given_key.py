"""A job remembers the unique key of its call, so that it holds that again when it is requeued."""

from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # or the update would run under the lock that adding the column takes
    dependencies = (("jobs", "0009_autovacuum"),)
    operations = (
        migrations.AddField(
            model_name="job",
            name="given_key",
            field=models.TextField(
                blank=True, help_text="Unique key of its call: a requeue takes it again.", null=True
            ),
        ),
        migrations.RunSQL(
            "UPDATE jobs_job SET given_key = unique_key WHERE unique_key IS NOT NULL", migrations.RunSQL.noop
        ),
    )
