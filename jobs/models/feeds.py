"""Feeds that `feeds.check` has read, and the entries it has kept."""

from django.db import models


class Feed(models.Model):
    """One feed address and the outcome of its latest check.

    A row appears with the first check that succeeds, so a mistyped address leaves none.
    """

    class Status(models.TextChoices):
        OK = "ok", "read"
        NOT_MODIFIED = "not_modified", "not modified"
        FAILED = "failed", "failed"

    url = models.CharField(
        "URL", max_length=2000, help_text="The address as it was given to the task; it may hold a password."
    )
    title = models.TextField(blank=True, default="", help_text="The feed's own title, as last read.")
    format = models.CharField(max_length=40, blank=True, default="", help_text="Such as RSS 2.0 or Atom 1.0.")
    etag = models.TextField(
        "ETag", blank=True, default="", help_text="Sent back as If-None-Match; empty asks for the whole feed."
    )
    last_modified = models.TextField(
        blank=True, default="", help_text="Sent back as If-Modified-Since, exactly as the server wrote it."
    )
    last_checked_at = models.DateTimeField(help_text="When the latest check ended, whatever came of it.")
    last_status = models.CharField(
        max_length=12, choices=Status.choices, default=Status.OK, help_text="What came of the latest check."
    )
    last_error = models.TextField(
        blank=True, default="", help_text="Why the latest check failed; empty when it did not."
    )
    created_at = models.DateTimeField(auto_now_add=True, help_text="When the first check succeeded.")

    class Meta:
        app_label = "jobs"
        constraints = [models.UniqueConstraint(fields=["url"], name="jobs_feed_url")]

    def __str__(self) -> str:
        return self.title or f"Feed {self.pk}"


class FeedEntry(models.Model):
    """One entry of a feed, kept as it was when first seen."""

    feed = models.ForeignKey(
        Feed,
        on_delete=models.CASCADE,
        related_name="entries",
        # The unique constraint below starts with the feed; a second index would only slow inserts.
        db_index=False,
        help_text="The feed that published it.",
    )
    guid = models.TextField(help_text="What identifies the entry in its feed: its id, else its link, else a digest.")
    # A unique index on `guid` itself would refuse values over about 2,700 bytes.
    guid_hash = models.CharField("GUID hash", max_length=64, help_text="SHA-256 of the GUID, in hexadecimal.")
    title = models.TextField(blank=True, default="", help_text="Plain text or HTML, as the feed wrote it.")
    link = models.TextField(blank=True, default="", help_text="An http or https address, else empty.")
    author = models.TextField(blank=True, default="", help_text="As the feed wrote it.")
    summary = models.TextField(
        blank=True, default="", help_text="The summary, else the content: HTML from a stranger, escape it when shown."
    )
    published_at = models.DateTimeField(
        null=True, blank=True, help_text="When the feed says it was published, else updated; empty if it does not."
    )
    first_seen_at = models.DateTimeField(help_text="When the check that stored it ran.")

    class Meta:
        app_label = "jobs"
        verbose_name_plural = "feed entries"
        constraints = [models.UniqueConstraint(fields=["feed", "guid_hash"], name="jobs_feedentry_guid")]

    def __str__(self) -> str:
        return self.title or self.link or self.guid
