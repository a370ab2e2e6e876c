"""DATABASE_URL as Django's setting; only PostgreSQL."""

from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

POSTGRES = "django.db.backends.postgresql"


def parse(url: str, *, pool: bool) -> dict[str, Any]:
    """The settings of that URL. Raises ImproperlyConfigured, in one line without the password.

    `pool` is for the web process: under ASGI each request has a thread of its own, where a connection kept open is
    lost. Elsewhere a thread keeps its one connection; a pool would not survive the fork of a worker's children.
    """
    scheme = url.partition(":")[0]
    try:
        found: dict[str, Any] = dict(dj_database_url.parse(url))
    except ValueError:
        found = {}
    if found.get("ENGINE") != POSTGRES:
        raise ImproperlyConfigured(
            f"DATABASE_URL names {scheme!r}, but Jobsite needs PostgreSQL 15 or newer. "
            "Use postgresql://user:password@host:5432/name, or unset it for the embedded one."
        )
    options = found.setdefault("OPTIONS", {})
    # The directory of a socket stands in the query of a URL: urllib would put a host into lower case.
    found["HOST"] = options.pop("host", found["HOST"])
    options.setdefault("connect_timeout", 3)
    if pool:
        # Less than the 5 s after which whoever asks for health gives up.
        options["pool"] = {"min_size": 1, "max_size": 20, "timeout": 4}
    return found | {"CONN_MAX_AGE": 0 if pool else 600, "CONN_HEALTH_CHECKS": True}
