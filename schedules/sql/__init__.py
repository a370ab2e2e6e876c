"""The beat's statements: one per file, run on the jobs' database in whatever transaction is open."""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from django.db import connections

from jobs.engine.link import jobs_alias

HERE = Path(__file__).parent


@cache
def statement(name: str) -> str:
    """The text of `<name>.sql` without its comments."""
    lines = (HERE / f"{name}.sql").read_text().splitlines()
    return "".join(f"{line}\n" for line in lines if not line.lstrip().startswith("--"))


def rows(name: str, /, **params: Any) -> list[tuple]:
    """What the named statement returns; [] when it returns nothing. Errors are Django's."""
    with connections[jobs_alias()].cursor() as cursor:
        cursor.execute(statement(name), params or None)
        return cursor.fetchall() if cursor.description else []


def as_json(records: Iterable[Mapping[str, Any]]) -> str:
    """Records for a statement that reads them by json_to_recordset; moments and ids become text."""
    return json.dumps(list(records), default=str)
