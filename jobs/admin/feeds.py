"""Feeds and their entries, to look at: `feeds.check` is their only writer."""

from django.contrib import admin
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils.html import format_html

from ..models.feeds import Feed, FeedEntry
from ..tasks.feeds.errors import shown
from .read_only import ReadOnlyAdmin


@admin.register(Feed)
class FeedAdmin(ReadOnlyAdmin):
    list_display = ("address", "title", "last_checked_at", "last_status", "entries_count")
    list_filter = ("last_status", "format")
    search_fields = ("url", "title")
    ordering = ("-last_checked_at",)
    fields = (
        "address",
        "title",
        "format",
        "last_checked_at",
        "last_status",
        "last_error",
        "entries_count",
        "etag",
        "last_modified",
        "created_at",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Feed]:
        # A subquery is run for the rows of one page; a join would count every feed's entries.
        count = FeedEntry.objects.filter(feed=OuterRef("pk")).order_by().values("feed").annotate(n=Count("pk"))
        return super().get_queryset(request).annotate(entries_total=Coalesce(Subquery(count.values("n")), 0))

    @admin.display(description="URL", ordering="url")
    def address(self, feed: Feed) -> str:
        return shown(feed.url)

    @admin.display(description="entries", ordering="entries_total")
    def entries_count(self, feed: Feed) -> int:
        return feed.entries_total


@admin.register(FeedEntry)
class FeedEntryAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "feed", "published_at", "first_seen_at")
    list_filter = ("first_seen_at",)
    list_select_related = ("feed",)
    search_fields = ("title", "link", "feed__title")
    ordering = ("-id",)
    fields = ("feed", "title", "open_link", "author", "published_at", "first_seen_at", "summary", "guid")

    @admin.display(description="link")
    def open_link(self, entry: FeedEntry) -> str:
        if not entry.link:
            return "-"
        return format_html('<a href="{0}" rel="noopener noreferrer nofollow">{0}</a>', entry.link)
