"""Fetches counted for each domain and hour."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = (("jobs", "0011_payload_compression"),)
    operations = (
        migrations.CreateModel(
            name="DomainHour",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "domain",
                    models.CharField(
                        help_text="The host that was asked, in lower case and as DNS writes it.", max_length=253
                    ),
                ),
                ("hour", models.DateTimeField(help_text="Its first moment, in UTC.")),
                (
                    "succeeded",
                    models.PositiveIntegerField(default=0, help_text="Fetches that got what they asked for."),
                ),
                (
                    "blocked",
                    models.PositiveIntegerField(default=0, help_text="Fetches that the server refused to this client."),
                ),
                ("failed", models.PositiveIntegerField(default=0, help_text="Fetches that failed otherwise.")),
                (
                    "last_status",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        help_text="The HTTP status of the latest that did not succeed; empty when it had no answer.",
                        null=True,
                    ),
                ),
            ],
            options={"verbose_name": "fetched domain"},
        ),
        migrations.AddConstraint(
            model_name="domainhour",
            constraint=models.UniqueConstraint(fields=("hour", "domain"), name="jobs_domain_hour"),
        ),
    )
