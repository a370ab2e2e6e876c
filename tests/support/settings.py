"""The shipped site's settings, with the tasks that tests run."""

import os

from jobsite.settings import *  # noqa: F403
from jobsite.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.support"]

# Tests that run side by side share the broker, not its queues; the processes they start inherit the variable.
if beside := os.environ.get("PYTEST_XDIST_WORKER"):
    CELERY_BROKER_TRANSPORT_OPTIONS = {"global_keyprefix": f"{beside}."}
