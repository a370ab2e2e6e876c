"""Whether the site can run jobs: the words for everybody, the details for those who may call the API."""

from typing import Any

from django.http import HttpRequest
from ninja import Router, Status

from ..health import Health, look
from .auth import bearer

router = Router(tags=["health"])


@router.api_operation(["GET", "HEAD"], "", auth=None, response={200: dict[str, Any], 503: dict[str, Any]})
def get_health(request: HttpRequest) -> Status:
    """200 while jobs can be taken, "degraded" when they wait for a missing process; 503 without database or broker."""
    health = look()
    body = {"status": health.status, "failing": [check.name for check in health.failing]}
    if bearer(request):
        body |= _details(health)
    return Status(503 if health.status == "unavailable" else 200, body)


def _details(health: Health) -> dict[str, Any]:
    return {
        "checks": [
            {"name": check.name, "status": "failing" if check.detail else "ok", "detail": check.detail}
            for check in health.checks
        ],
        **health.facts,
    }
