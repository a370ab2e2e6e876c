"""Who asks for a verb and why, as the audit log can keep it: one place for every verb."""

from ipaddress import ip_address
from typing import TypedDict

from ..errors import InvalidActor
from .finish import clean

LONGEST_ACTOR = 500
LONGEST_REASON = 2_000


class Who(TypedDict):
    actor: str
    reason: str
    ip: str | None


def who(actor: str, reason: str = "", ip: str | None = None) -> Who:
    """What PostgreSQL can't store is replaced: a cancel must not fail for its reason. Raises InvalidActor."""
    name = clean(actor, LONGEST_ACTOR) if isinstance(actor, str) else None
    if not name or not name.strip():
        raise InvalidActor(f"actor={actor!r:.80}: say who asks, as actor='ada'; the audit log keeps it.")
    return {"actor": name, "reason": clean(str(reason or ""), LONGEST_REASON) or "", "ip": client_address(ip)}


def client_address(text: str | None) -> str | None:
    """An IP address as the audit keeps it; None for a server behind a Unix socket, which knows none."""
    try:
        return str(ip_address((text or "").partition("%")[0]))  # PostgreSQL knows no zones
    except ValueError:
        return None
