"""The key of a call that is to be the only one of its kind."""

import hashlib
import json
from typing import Any
from uuid import UUID

from ..engine.payload import encode
from ..errors import InvalidJob


def unique_key(args: Any, kwargs: Any, options: dict[str, Any]) -> str | None:
    """The call's key: a text, True for one of its arguments, or what a function of its arguments returns.

    None: it has no key. Raises InvalidJob.
    """
    key = options.get("unique_key")
    key = key.__func__ if isinstance(key, staticmethod) else key
    if callable(key):
        key = key(*(args or ()), **(kwargs or {}))
    if key is None or key is False:
        for name in ("unique_for", "on_conflict"):
            if options.get(name) is not None:
                raise InvalidJob(f"{name} says nothing without a unique_key: give one, as unique_key='order-7'.")
        return None
    if key is True:
        said = encode("args", [list(args or ()), sorted(dict(kwargs or {}).items())])
        said = json.dumps(json.loads(said), sort_keys=True)  # equal dicts are equal in whatever order they were made
        return hashlib.sha256(said.encode()).hexdigest()
    if isinstance(key, int | UUID):
        return str(key)
    if not isinstance(key, str) or not key:
        raise InvalidJob(
            f"unique_key={key!r}: pass a text, a number, a UUID, True for 'these very arguments', or a function of the "
            "arguments that returns one of them."
        )
    return key
