"""Whose child the job of a call is: that of the run that calls, if there is one."""

from typing import Any, NamedTuple

from celery import Celery


class Family(NamedTuple):
    root_id: str
    parent_id: str
    priority: int | None
    """The parent's, which its children inherit if Celery is told so."""

    def options(self, given: dict[str, Any]) -> dict[str, Any]:
        """Root and parent of a call; what it gives itself goes before."""
        return {
            "root_id": given.get("root_id") or self.root_id,
            "parent_id": given.get("parent_id") or self.parent_id,
        }


def family(app: Celery) -> Family | None:
    parent = app.current_worker_task
    if parent is None:
        return None
    request = parent.request
    return Family(request.root_id or request.id, request.id, (request.delivery_info or {}).get("priority"))
