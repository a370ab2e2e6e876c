"""The shipped site's settings, with the tasks of the soak."""

from jobsite.settings import *  # noqa: F403
from jobsite.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "jobsite.soak"]
