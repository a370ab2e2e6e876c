"""The schedules of the built-in tasks: the blocking monitor, its clean-up, and the clean-up of temporary files."""

from typing import Any

from django.apps.registry import Apps
from django.db import migrations

HOURLY = {"every": 60, "period": "minutes"}
AT_3 = {"minute": "0", "hour": "3", "day_of_week": "*", "day_of_month": "*", "month_of_year": "*", "timezone": "UTC"}
BUILT_IN = (
    (
        "check_blocking_stats",
        "blocking.check",
        {"interval": HOURLY},
        "Names the domains of which too few fetches succeed.",
    ),
    ("cleanup_blocking_stats", "blocking.cleanup", {"crontab": AT_3}, "Deletes counts of fetches that are old."),
    ("cleanup_tempfiles", "tempfiles.cleanup", {"interval": HOURLY}, "Deletes temporary files that are old."),
)


def add(apps: Apps, schema_editor: Any) -> None:
    tasks = apps.get_model("django_celery_beat", "PeriodicTask").objects
    for name, task, when, description in BUILT_IN:
        ((kind, fields),) = when.items()
        times, _ = apps.get_model("django_celery_beat", f"{kind.capitalize()}Schedule").objects.get_or_create(**fields)
        made, is_new = tasks.get_or_create(name=name, defaults={"task": task, kind: times, "description": description})
        if is_new:
            # The companion is there by a trigger.
            apps.get_model("schedules", "Schedule").objects.filter(pk=made.pk).update(overlap="skip")


def remove(apps: Apps, schema_editor: Any) -> None:
    names = [name for name, *_ in BUILT_IN]
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name__in=names).delete()


class Migration(migrations.Migration):
    dependencies = (("schedules", "0003_triggers"),)
    operations = (migrations.RunPython(add, remove),)
