"""What came of fetches, counted for each domain and hour."""

from django.db import models


class DomainHour(models.Model):
    """The fetches of one domain in one hour.

    Not a row per fetch: the monitor asks for rates over hours, and so the table grows with the domains, however
    often each of them is fetched. The counters are in no index, so that counting moves no index entry either.
    """

    domain = models.CharField(max_length=253, help_text="The host that was asked, in lower case and as DNS writes it.")
    hour = models.DateTimeField(help_text="Its first moment, in UTC.")
    succeeded = models.PositiveIntegerField(default=0, help_text="Fetches that got what they asked for.")
    blocked = models.PositiveIntegerField(default=0, help_text="Fetches that the server refused to this client.")
    failed = models.PositiveIntegerField(default=0, help_text="Fetches that failed otherwise.")
    last_status = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        help_text="The HTTP status of the latest that did not succeed; empty when it had no answer.",
    )

    class Meta:
        app_label = "jobs"
        verbose_name = "fetched domain"
        # The hour first: the monitor reads a stretch of hours, and the clean-up deletes one.
        constraints = [models.UniqueConstraint(fields=["hour", "domain"], name="jobs_domain_hour")]

    def __str__(self) -> str:
        return f"{self.domain} at {self.hour:%Y-%m-%d %H}:00"

    @property
    def fetches(self) -> int:
        return self.succeeded + self.blocked + self.failed
