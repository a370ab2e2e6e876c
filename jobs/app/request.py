"""What `self.request` shows of a run."""

from typing import Any

from ..engine.execute import Run

# What a call without options shows; each run has containers of its own.
_BARE: dict[str, Any] = {
    "shadow": None,
    "parent_id": None,
    "group": None,
    "group_index": None,
    "chord": None,
    "chain": None,
    "callbacks": None,
    "errbacks": None,
    "eta": None,
    "is_eager": False,
    "ignore_result": False,
    "reply_to": None,
    "origin": None,
    "argsrepr": None,
    "kwargsrepr": None,
    "replaced_task_nesting": 0,
    "utc": True,
}


def request_of(run: Run, task_id: str, node: str | None = None) -> dict[str, Any]:
    """What `self.request` shows: the same as under stock Celery. `node` is the worker's name."""
    shown = {
        **_BARE,
        "id": task_id,
        "task": run.task,
        "retries": run.retries,
        "headers": {},
        "root_id": task_id,
        "delivery_info": {"exchange": "", "routing_key": run.queue, "priority": run.priority, "redelivered": False},
        "timelimit": [run.time_limit, run.soft_time_limit],
        "expires": run.expires_at,
        "hostname": node,
        "correlation_id": task_id,
        "properties": {},
        "stamped_headers": [],
        "stamps": {},
    }
    return {**(run.options.get("headers") or {}), **shown, **_given(run.options)} if run.options else shown


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """What the call's options say of it."""
    said = {shown: options[name] for name, shown in _SAID.items() if name in options}
    said |= {name: options[name] for name in ("headers", "root_id", "stamped_headers") if options.get(name)}
    return said | {"stamps": {name: options.get(name) for name in options.get("stamped_headers") or []}}


_SAID = {"group_id": "group", "link": "callbacks", "link_error": "errbacks"} | {
    name: name
    for name in (
        "shadow",
        "parent_id",
        "group_index",
        "chord",
        "chain",
        "ignore_result",
        "reply_to",
        "argsrepr",
        "kwargsrepr",
        "replaced_task_nesting",
    )
}
