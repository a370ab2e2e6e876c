"""The task `blocking.check`: which domains have answered too few fetches well."""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from celery import shared_task
from django.utils import timezone

from . import store
from .conf import BlockingSettings, blocking_settings
from .rates import Rates, advice, window

logger = logging.getLogger("jobs")

NAMED = 100
"""Domains that a result names, the worst first."""
LOGGED = 10
"""Domains that the warning names."""

Progress = Callable[[int, int | None, str], None]


# Neither retried nor a dead letter: the next scheduled check is the retry.
@shared_task(bind=True, name="blocking.check", max_retries=0, dead_letter=False)
def check(self: Any) -> dict[str, Any]:
    """Name the domains whose share of successful fetches is below BLOCKING_THRESHOLD.

    Returns {"first_hour", "last_hour", "threshold", "min_fetches", "domains", "fetches", "below", "worst"}: `below`
    counts the domains below the threshold, `worst` describes up to 100 of them.
    """
    return check_domains(blocking_settings(), now=timezone.now(), progress=self.progress)


def check_domains(settings: BlockingSettings, *, now: datetime, progress: Progress) -> dict[str, Any]:
    """The task without its worker."""
    first, last = window(now, settings.window_hours)
    progress(0, None, f"reading fetches since {first:%Y-%m-%d %H:%M} UTC")
    domains, fetches, below = _judged(store.rates(first, last), settings)
    below.sort(key=lambda rates: (rates.success, -rates.fetches, rates.domain))
    statuses = store.last_statuses([rates.domain for rates in below[:NAMED]], first, last)
    progress(domains, domains, f"{len(below)} of {domains} domains below {settings.threshold:.0%}")
    result = {
        "first_hour": first.isoformat(),
        "last_hour": last.isoformat(),
        "threshold": settings.threshold,
        "min_fetches": settings.min_fetches,
        "domains": domains,
        "fetches": fetches,
        "below": len(below),
        "worst": [_described(rates, statuses.get(rates.domain)) for rates in below[:NAMED]],
    }
    _warn(result, settings)
    return result


def _judged(found: Iterable[Rates], settings: BlockingSettings) -> tuple[int, int, list[Rates]]:
    """How many domains and fetches there are, and the domains below the threshold."""
    domains, fetches, below = 0, 0, []
    for rates in found:
        domains, fetches = domains + 1, fetches + rates.fetches
        if rates.is_below(settings.threshold, min_fetches=settings.min_fetches):
            below.append(rates)
    return domains, fetches, below


def _described(rates: Rates, status: int | None) -> dict[str, Any]:
    return {
        "domain": rates.domain,
        "success": round(rates.success, 4),
        "fetches": rates.fetches,
        "succeeded": rates.succeeded,
        "blocked": rates.blocked,
        "failed": rates.failed,
        "last_status": status,
        "advice": advice(rates),
    }


def _warn(result: dict[str, Any], settings: BlockingSettings) -> None:
    if not result["below"]:
        return
    worst = result["worst"][:LOGGED]
    logger.warning(
        "fetches of %d domains succeed too rarely, below %.0f %% since %s: %s",
        result["below"],
        settings.threshold * 100,
        result["first_hour"],
        "; ".join(f"{row['domain']} {row['success']:.0%}: {row['advice']}" for row in worst),
        extra={"domains": [row["domain"] for row in worst]},
    )
