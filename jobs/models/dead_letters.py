"""The jobs that failed for good, as a list of their own in the admin."""

from .jobs import Job


class DeadLetter(Job):
    class Meta:
        proxy = True
        # Whoever may see jobs may see these.
        default_permissions = ()
        verbose_name = "dead letter"
