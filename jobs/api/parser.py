"""Request bodies: JSON of at most 1 MiB, and nothing that JSON does not know."""

import json
from typing import Any, NoReturn

from django.http import HttpRequest
from ninja.parser import Parser

from .problems import Refused

LIMIT = 1_048_576
"""Bytes of one request body."""


class StrictJSON(Parser):
    def parse_body(self, request: HttpRequest) -> Any:
        """The body's value. Raises Refused."""
        if request.content_type != "application/json":
            raise Refused(
                415,
                "not_json",
                f"The body is {request.content_type[:100]!r}; send it with Content-Type: application/json.",
            )
        if len(request.body) > LIMIT:
            raise Refused(
                413, "body_too_large", f"The request body has {len(request.body):,} bytes; the limit is 1 MiB."
            )
        try:
            return json.loads(request.body, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            raise Refused(400, "invalid_json", f"The body is no JSON: {str(error)[:200]}.") from error


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
