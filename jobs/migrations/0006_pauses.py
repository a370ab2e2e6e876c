"""Pauses of tasks, keys and tags, and the state of the jobs that they hold."""

from django.contrib.postgres.functions import TransactionNow
from django.db import migrations, models
from django.db.models import Q

from jobs.models.pauses import Held
from jobs.states import State, choices


class Migration(migrations.Migration):
    dependencies = (("jobs", "0005_newest"),)
    operations = (
        migrations.CreateModel(
            name="Pause",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.TextField(choices=choices(Held))),
                ("name", models.TextField(help_text="The whole name of a task or a tag, or a unique key.")),
                ("value", models.TextField(blank=True, help_text="Of a tag; empty: whatever its value.", null=True)),
                ("reason", models.TextField(blank=True, db_default="")),
                ("paused_by", models.TextField(blank=True, db_default="")),
                ("paused_at", models.DateTimeField(db_default=TransactionNow())),
                (
                    "until",
                    models.DateTimeField(
                        blank=True, help_text="It ends by itself then; empty: when it is lifted.", null=True
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="pause",
            constraint=models.UniqueConstraint(
                fields=("kind", "name", "value"), name="jobs_one_pause", nulls_distinct=False
            ),
        ),
        migrations.AlterModelOptions(
            name="job",
            options={
                "permissions": (
                    ("requeue_job", "Can requeue failed jobs"),
                    ("cancel_job", "Can cancel jobs"),
                    ("boost_job", "Can change the priority of jobs"),
                    ("postpone_job", "Can change when waiting jobs may start"),
                    ("purge_job", "Can delete finished jobs"),
                )
            },
        ),
        migrations.AlterField(model_name="job", name="state", field=models.TextField(choices=choices(State))),
        migrations.AddField(
            model_name="job",
            name="pause",
            field=models.BigIntegerField(blank=True, help_text="The pause that holds it.", null=True),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(fields=["pause", "queue", "rank"], condition=Q(state="paused"), name="jobs_paused"),
        ),
        migrations.AddConstraint(
            model_name="job",
            constraint=models.CheckConstraint(
                condition=Q(state="paused", pause__isnull=False) | (~Q(state="paused") & Q(pause__isnull=True)),
                name="jobs_paused_means_pause",
            ),
        ),
    )
