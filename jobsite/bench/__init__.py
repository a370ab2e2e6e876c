"""`manage.py bench`: what this installation does a second, how soon, and at what cost."""

SITE = "JOBSITE_BENCH_SETTINGS"
"""Environment variable: the installation's settings module."""


class Refused(Exception):
    """The bench was not begun: one line that says why and what to do."""
