"""The installation's own settings, with the bench's tasks, on the database and the broker that the bench chose."""

import importlib
import os

from .. import database
from . import SITE

_site = importlib.import_module(os.environ[SITE])
globals().update({name: value for name, value in vars(_site).items() if name.isupper()})

INSTALLED_APPS = [*_site.INSTALLED_APPS, "jobsite.bench"]
DATABASES = {"default": database.parse(os.environ["DATABASE_URL"], pool=False)}
DATABASE_ROUTERS: list[str] = []
# Else workers and dispatcher would take the jobs of the installation.
DATABASE_DIRECT_URL = None
CELERY_BROKER_URL = os.environ["BROKER_URL"]
