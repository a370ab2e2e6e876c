"""The site's Celery app: `celery -A jobsite worker|beat|flower`."""

import os
import sys

from jobs.app import JobsCelery

from . import embedded

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "jobsite.settings")

if "flower" in sys.argv:
    embedded.flower_defaults()

app = JobsCelery("jobsite")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
