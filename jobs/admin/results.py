"""django-celery-results' own admin, for untracked tasks and groups: it appears with its first row."""

from django.contrib import admin
from django.http import HttpRequest
from django_celery_results.admin import GroupResultAdmin, TaskResultAdmin
from django_celery_results.models import GroupResult, TaskResult


class HiddenWhileEmpty(admin.ModelAdmin):
    def has_module_permission(self, request: HttpRequest) -> bool:
        return super().has_module_permission(request) and self.model.objects.exists()

    def has_view_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return super().has_view_permission(request, obj) and self.model.objects.exists()

    def has_change_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        return super().has_change_permission(request, obj) and self.model.objects.exists()


# Importing their admin registered it.
admin.site.unregister([TaskResult, GroupResult])


@admin.register(TaskResult)
class TaskResults(HiddenWhileEmpty, TaskResultAdmin):
    pass


@admin.register(GroupResult)
class GroupResults(HiddenWhileEmpty, GroupResultAdmin):
    pass
