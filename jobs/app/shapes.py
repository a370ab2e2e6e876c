"""Options that hold signatures, names or headers: what would break in the worker is refused in the caller."""

from collections.abc import Callable, Mapping
from typing import Any

from celery.canvas import Signature

from ..errors import InvalidJob

NOTHING: tuple[Any, ...] = (None, "", [], {}, ())


def check_shapes(options: Mapping[str, Any]) -> None:
    """Raises InvalidJob."""
    for name, (fits, expected) in SHAPES.items():
        value = options.get(name)
        if value is not None and value not in NOTHING and not fits(value):
            raise InvalidJob(f"{name}={value!r:.200}: expected {expected}.")


def _is_signature(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and bool(value.get("task"))
        and isinstance(value["task"], str)
        and isinstance(value.get("args"), list | tuple)
        and isinstance(value.get("kwargs"), dict)
        and isinstance(value.get("options"), dict)
        and (not value.get("subtask_type") or value["subtask_type"] in Signature.TYPES)
    )


def _are_signatures(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_signature, value))


def _is_callback(value: Any) -> bool:
    return _is_signature(value) or _are_signatures(value)


def _are_names(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset) and all(isinstance(name, str) for name in value)


def _are_headers(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(name, str) for name in value)


CALLBACK = "a signature, as task.s(…), or a list of them"
SHAPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "link": (_is_callback, CALLBACK),
    "link_error": (_is_callback, CALLBACK),
    "chain": (_are_signatures, "a list of signatures; use chain(…) to make one"),
    "headers": (_are_headers, "a mapping of names to values"),
    "stamped_headers": (_are_names, "a list of names; use signature.stamp(…) to make one"),
}
