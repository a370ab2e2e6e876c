"""The schedule `check_feeds`: every 5 minutes, off until it is pointed at a feed."""

from typing import Any

from django.apps.registry import Apps
from django.db import migrations

DESCRIPTION = (
    "Reads a feed and keeps its new entries. Put the feed's address into the keyword argument `url` and enable it; "
    "make a copy of this schedule for each further feed."
)


def add(apps: Apps, schema_editor: Any) -> None:
    every_5_minutes, _ = apps.get_model("django_celery_beat", "IntervalSchedule").objects.get_or_create(
        every=5, period="minutes"
    )
    apps.get_model("django_celery_beat", "PeriodicTask").objects.get_or_create(
        name="check_feeds",
        defaults={
            "task": "feeds.check",
            "interval": every_5_minutes,
            "kwargs": '{"url": ""}',
            "enabled": False,
            "description": DESCRIPTION,
        },
    )


def remove(apps: Apps, schema_editor: Any) -> None:
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name="check_feeds").delete()


class Migration(migrations.Migration):
    dependencies = (("django_celery_beat", "0019_alter_periodictasks_options"),)
    operations = (migrations.RunPython(add, remove),)
