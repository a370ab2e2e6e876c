"""The API as its clients see it."""

import json
from typing import Any

from django.test import Client

TOKEN = "a-token-for-tests"


def client() -> Client:
    return Client(headers={"Authorization": f"Bearer {TOKEN}"}, enforce_csrf_checks=True, raise_request_exception=False)


def post(client: Client, body: Any, path: str = "/api/jobs/submit", content_type: str = "application/json") -> Any:
    data = body if isinstance(body, str | bytes) else json.dumps(body)
    return client.post(path, data, content_type=content_type)


def problem(response: Any, status: int, code: str) -> dict[str, Any]:
    assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json"), response.content
    found = response.json()
    assert found["status"] == status
    assert found["code"] == code
    assert found.keys() >= {"type", "title", "detail"}
    return found
