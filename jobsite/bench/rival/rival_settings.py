"""Django of the rivals' workers: what django-celery-results needs, and nothing of Jobsite."""

import os
from typing import Any

import dj_database_url

SECRET_KEY = "rival"  # noqa: S105  it signs nothing
INSTALLED_APPS = ["django.contrib.contenttypes", "django_celery_results"]
USE_TZ = True
_database: dict[str, Any] = dict(dj_database_url.parse(os.environ["DATABASE_URL"], conn_max_age=600))
# The directory of a socket stands in the query of a URL.
_database["HOST"] = _database.setdefault("OPTIONS", {}).pop("host", _database["HOST"])
DATABASES = {"default": _database}
