"""What operators asked for and what the platform refused."""

import json

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from ..models import AuditEntry
from . import shown
from .big_tables import BigTableAdmin

PAGES = {"job": "admin:jobs_job_change", "queue": "admin:jobs_queue_change"}


@admin.register(AuditEntry)
class AuditEntryAdmin(BigTableAdmin):
    list_display = ("when", "actor", "action", "resource", "detail_line", "ip")
    search_fields = ("resource_id__exact", "actor__exact")
    search_help_text = "The whole id of a job, the name of a queue, or who asked."
    ordering = ("-id",)
    fields = ("when", "actor", "action", "resource", "detail_json", "ip")

    class Media:
        css = {"all": ("jobs/admin.css",)}

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup in ("resource_type", "resource_id") or super().lookup_allowed(lookup, value, request)

    @admin.display(description="when")
    def when(self, entry: AuditEntry) -> str:
        return shown.moment(entry.at)

    @admin.display(description="on")
    def resource(self, entry: AuditEntry) -> str:
        if entry.resource_type not in PAGES:
            return f"{entry.resource_type} {entry.resource_id}"
        url = reverse(PAGES[entry.resource_type], args=[entry.resource_id])
        return format_html('{} <a href="{}">{}</a>', entry.resource_type, url, entry.resource_id)

    @admin.display(description="detail")
    def detail_line(self, entry: AuditEntry) -> str:
        return shown.first_line(json.dumps(entry.detail, ensure_ascii=False)) if entry.detail else ""

    @admin.display(description="detail")
    def detail_json(self, entry: AuditEntry) -> str:
        return shown.pretty_value(entry.detail)
