"""A lease says how much of the window it takes."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = (("jobs", "0007_shorter_checks"),)
    operations = (
        migrations.AddField(
            model_name="lease",
            name="place",
            field=models.FloatField(db_default=1.0, help_text="Part of a place in the window that it takes."),
        ),
    )
