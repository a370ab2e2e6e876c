"""Who asks: what an audit entry says of a request."""

from ipaddress import ip_address
from typing import TypedDict

from django.http import HttpRequest


class Operator(TypedDict):
    actor: str
    ip: str | None


def operator(request: HttpRequest) -> Operator:
    return {"actor": request.user.get_username(), "ip": _address(request.META.get("REMOTE_ADDR", ""))}


def _address(text: str) -> str | None:
    """None for a server behind a Unix socket, which knows no address."""
    try:
        return str(ip_address(text))
    except ValueError:
        return None
