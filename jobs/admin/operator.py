"""Who asks: what an audit entry says of a request."""

from typing import TypedDict

from django.http import HttpRequest

from ..engine.control import client_address


class Operator(TypedDict):
    actor: str
    ip: str | None


def operator(request: HttpRequest) -> Operator:
    return {"actor": request.user.get_username(), "ip": client_address(request.META.get("REMOTE_ADDR"))}
