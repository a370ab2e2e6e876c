"""A value inside the JSON that a job keeps as text, compared as it is written: no cast of a whole payload to jsonb."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import BooleanField, F, Func, Q, TextField, Value
from django.db.models.lookups import In


class At(Func):
    """The JSON text at a path below a text column; NULL where nothing is there."""

    output_field = TextField()

    def __init__(self, column: str, path: Sequence[str]) -> None:
        super().__init__(F(column), *map(Value, path))

    def as_sql(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[Any]]:
        column, *path = [compiler.compile(part) for part in self.source_expressions]
        steps = ", ".join(sql for sql, _ in path)
        params = [value for _, given in (column, *path) for value in given]
        return f"json_extract_path({column[0]}::json, {steps})::text", params


class IsNotTrue(Func):
    """A condition that fails, or can't be told for want of a value: what a minus before a term means."""

    template = "((%(expressions)s) IS NOT TRUE)"
    output_field = BooleanField()

    def __init__(self, condition: Any) -> None:
        super().__init__(condition)


def argument_is(path: Sequence[str], texts: Sequence[str]) -> Q:
    """Whether a job has the argument: `0` the first positional one, else a keyword, and what is inside by more steps.

    A text stands for the string, the number, true, false or null that is written so, and for the UUID, Decimal or
    date that Celery wraps.
    """
    column = "args" if path[0].isdigit() else "kwargs"
    written = sorted({raw for text in texts for raw in _written(text)})
    wrapped = sorted({json.dumps(text) for text in texts})
    digits = sorted({json.dumps(UUID(text).hex) for text in texts if _is_uuid(text)})
    found = _in(column, path, written) | _in(column, (*path, "__value__"), wrapped)
    if digits:
        found |= _in(column, (*path, "__value__", "hex"), digits)
    # Looked for as text first: most payloads need not be parsed then.
    return Q(kwargs__contains=json.dumps(path[0])) & found if column == "kwargs" else found


def _in(column: str, path: Sequence[str], texts: Sequence[str]) -> Q:
    return Q(In(At(column, path), texts))


def _written(text: str) -> set[str]:
    """How JSON writes what the text may stand for."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {json.dumps(text)}
    return {json.dumps(text), text} if not isinstance(value, list | dict | str) else {json.dumps(text)}


def _is_uuid(text: str) -> bool:
    try:
        return bool(UUID(text))
    except ValueError:
        return False
