"""`record_fetch`: how code that fetches says what came of it."""

import re
from datetime import datetime

import httpx
from django.db import transaction
from django.utils import timezone

from ...errors import InvalidFetch
from . import store
from .rates import Outcome, hour_of

LONGEST = 253
DOMAIN = re.compile(r"[a-z0-9._:-]+")


def record_fetch(
    domain: str, outcome: Outcome | str, status: int | None = None, *, now: datetime | None = None
) -> None:
    """Count one fetch of `domain`, a host without scheme and port: "succeeded", "blocked" or "failed".

    `status` is the HTTP status of the answer, None where there was none. Inside a transaction the fetch is counted
    after the commit. Raises InvalidFetch; a database that can't be reached is logged only, as no fetch is worse for it.
    """
    name, kind = _domain(domain), _outcome(outcome)
    if status is not None and (type(status) is not int or not 100 <= status <= 999):
        raise InvalidFetch(f"status={status!r}: pass the HTTP status of the answer, 100 to 999, or None.")
    hour = hour_of(now or timezone.now())
    # In the caller's transaction the row would stay locked until its end: fetchers of one domain would wait for each
    # other, and two that count two domains in opposite order would deadlock.
    transaction.on_commit(lambda: store.record(name, kind, status, hour=hour), using=store.alias(), robust=True)


def _domain(domain: str) -> str:
    name = _as_dns_writes_it(domain) if isinstance(domain, str) else ""
    if not DOMAIN.fullmatch(name) or len(name) > LONGEST:
        raise InvalidFetch(
            f"domain={domain!r:.200}: pass the host of a URL, as example.com, without scheme, port and path."
        )
    return name


def _as_dns_writes_it(domain: str) -> str:
    try:
        return httpx.URL(scheme="http", host=domain).raw_host.decode("ascii").removesuffix(".")
    except (httpx.InvalidURL, UnicodeError):
        return ""


def _outcome(outcome: Outcome | str) -> Outcome:
    try:
        return Outcome(outcome)
    except ValueError:
        words = ", ".join(repr(kind.value) for kind in Outcome)
        raise InvalidFetch(f"outcome={outcome!r:.200}: pass one of {words}.") from None
