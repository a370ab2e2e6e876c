"""Who may call the API: whoever sends the configured bearer token."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare
from ninja.security import HttpBearer

ACTOR = "api token"
"""What job rows say about who created them."""


class Token(HttpBearer):
    def __call__(self, request: HttpRequest) -> Any:
        # Not the framework's own: with DEBUG on, it logs a header that it does not understand.
        token = given(request)
        return None if token is None else self.authenticate(request, token)

    def authenticate(self, request: HttpRequest, token: str) -> str | None:
        expected = configured()
        return ACTOR if expected and constant_time_compare(token, expected) else None


def given(request: HttpRequest) -> str | None:
    """The token that the request carries, None without one."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def configured() -> str:
    return getattr(settings, "ADMIN_API_TOKEN", None) or ""


def challenge(request: HttpRequest) -> tuple[str, str]:
    """Why a request is not let in, and its WWW-Authenticate header."""
    if not configured():
        return (
            "No API token is configured: set ADMIN_API_TOKEN and start the site again; "
            "`python3 manage.py up` makes a token at its first start.",
            'Bearer realm="jobs"',
        )
    if given(request) is None:
        return "Send the API token: `Authorization: Bearer <token>`.", 'Bearer realm="jobs"'
    return "This API token is not valid.", 'Bearer realm="jobs", error="invalid_token"'


bearer = Token()
