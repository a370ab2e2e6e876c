"""What the admin's own pages say of the platform."""

from django import template
from django.conf import settings

from ..admin.notices import Notice, notices

register = template.Library()


@register.simple_tag(takes_context=True)
def jobs_notices(context: template.Context) -> list[Notice]:
    """The notices for those who may see jobs."""
    return notices() if context["request"].user.has_perm("jobs.view_job") else []


@register.simple_tag
def flower_url() -> str:
    return getattr(settings, "FLOWER_URL", "")
