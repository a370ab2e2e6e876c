"""What `self.request` shows of a run."""

from typing import Any

from ..engine.execute import Run


def request_of(run: Run, task_id: str, node: str | None = None) -> dict[str, Any]:
    """What `self.request` shows: the same as under stock Celery. `node` is the worker's name."""
    given = run.options
    headers = given.get("headers") or {}
    return {
        **headers,
        "id": task_id,
        "task": run.task,
        "retries": run.retries,
        "headers": headers,
        "shadow": given.get("shadow"),
        "root_id": given.get("root_id") or task_id,
        "parent_id": given.get("parent_id"),
        "group": given.get("group_id"),
        "group_index": given.get("group_index"),
        "chord": given.get("chord"),
        "chain": given.get("chain"),
        "callbacks": given.get("link"),
        "errbacks": given.get("link_error"),
        "delivery_info": {"exchange": "", "routing_key": run.queue, "priority": run.priority, "redelivered": False},
        "timelimit": [run.time_limit, run.soft_time_limit],
        "expires": run.expires_at,
        "eta": None,
        "hostname": node,
        "is_eager": False,
        "ignore_result": given.get("ignore_result", False),
        "reply_to": given.get("reply_to"),
        "correlation_id": task_id,
        "origin": None,
        "argsrepr": given.get("argsrepr"),
        "kwargsrepr": given.get("kwargsrepr"),
        "properties": {},
        "stamped_headers": given.get("stamped_headers") or [],
        "stamps": {name: given.get(name) for name in given.get("stamped_headers") or []},
        "replaced_task_nesting": given.get("replaced_task_nesting", 0),
        "utc": True,
    }
