"""The site's Celery app: `celery -A jobsite worker|beat|flower`."""

import os

from jobs.app import JobsCelery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "jobsite.settings")

app = JobsCelery("jobsite")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
