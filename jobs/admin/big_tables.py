"""Lists over tables of millions of rows: nothing on them counts, sorts or facets the whole table."""

from functools import cached_property
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse

from .read_only import ReadOnlyAdmin

COUNTED = 10_000
"""Rows after which a list stops counting; what lies behind is reached by filters and search."""


class CappedPaginator(Paginator):
    most = COUNTED

    @cached_property
    def count(self) -> int:
        return self.object_list.order_by().values("pk")[: self.most].count()


class BigTableList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.has_active_filters and not self.query:
            # A count beside “Show all” tells something only where the list is narrowed.
            self.full_result_count = self.result_count


class BigTableAdmin(ReadOnlyAdmin):
    empty_value_display = "–"
    list_max_show_all = 0
    list_per_page = 100
    paginator = CappedPaginator
    show_facets = admin.ShowFacets.NEVER
    # A click on a column's head would sort all rows by a column without an index.
    sortable_by = ()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return BigTableList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        title = str(self.opts.verbose_name_plural).capitalize()
        return super().changelist_view(request, {"title": title, **(extra_context or {})})
