"""What came of fetches by domain and hour, to look at: `record_fetch` is its only writer."""

from django.contrib import admin

from ..models.blocking import DomainHour
from .big_tables import BigTableAdmin


@admin.register(DomainHour)
class DomainHourAdmin(BigTableAdmin):
    list_display = ("domain", "hour", "rate", "succeeded", "blocked", "failed", "last_status")
    list_filter = ("hour",)
    search_fields = ("domain",)
    search_help_text = "A part of the domain."
    # The order of the unique index, backwards.
    ordering = ("-hour", "-domain")
    fields = ("domain", "hour", "rate", "succeeded", "blocked", "failed", "last_status")

    @admin.display(description="success")
    def rate(self, row: DomainHour) -> str:
        return f"{row.succeeded / row.fetches:.0%}" if row.fetches else "–"
