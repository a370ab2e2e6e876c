"""Who asks: what an audit entry says of a request."""

from typing import TypedDict

from django.http import HttpRequest

from ..engine.operators import client_address


class Operator(TypedDict):
    actor: str
    ip: str | None


REASON_LENGTH = 500


def reason_of(request: HttpRequest) -> str:
    """Why, in one line, as the request's form says."""
    return " ".join(request.POST.get("reason", "").replace("\x00", "").split())[:REASON_LENGTH]


def operator(request: HttpRequest) -> Operator:
    return {"actor": request.user.get_username(), "ip": client_address(request.META.get("REMOTE_ADDR"))}
