"""On what it was measured: machine, versions, and the settings that matter."""

import os
import platform
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kombu

from jobs.conf import jobs_settings

from .proc import memory_kib, usable_cores
from .site import Site, broker_url

PACKAGES = ("celery", "kombu", "redis", "django", "django-celery-results", "psycopg", "billiard")
SERVER = (
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_level",
    "shared_buffers",
    "max_wal_size",
    "max_connections",
    "jit",
    "autovacuum",
)


def facts(site: Site) -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "usable_cores": usable_cores(),
            "load_before": [round(load, 2) for load in os.getloadavg()],
        },
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "database": {name: site.ask("SELECT current_setting(%s)", name)[0] for name in SERVER},
        "broker": _broker(),
        "jobs_settings": asdict(jobs_settings()),
    }


def memory(site: Site) -> list[dict[str, Any]]:
    """Of each process after the last drain; PSS shares the pages that processes have in common among them."""
    found = []
    for process in sorted(site.seen()):
        if kib := memory_kib(process.pid):
            found.append({"role": process.role, "pid": process.pid, **kib})
    return found


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _broker() -> dict[str, Any]:
    scheme = urlsplit(broker_url()).scheme
    with kombu.Connection(broker_url(), connect_timeout=5) as connection:
        channel = connection.default_channel
        if scheme.startswith(("redis", "valkey")):
            told = channel.client.info("server")
            return {"kind": scheme, "version": told.get("valkey_version") or told.get("redis_version")}
        told = connection.connection.server_properties
        return {"kind": scheme, "product": told.get("product"), "version": told.get("version")}
