"""The task `feeds.check`: fetch, parse, store, and say how far it is."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from ...errors import InvalidFetch
from ...models.feeds import Feed
from ..blocking import Outcome, outcome_of, record_fetch
from . import store
from .errors import FeedError, shown
from .fetch import Fetched, NotModified, address, fetch
from .parse import parse

TIMEOUT = 20.0
"""Seconds one fetch may take, unless the setting FEEDS_TIMEOUT says otherwise."""
MAX_BYTES = 10 * 2**20
"""Bytes a decoded feed may have, unless the setting FEEDS_MAX_BYTES says otherwise."""

STEPS = 3

Progress = Callable[[int, int, str], None]


# Neither retried nor a dead letter: the next scheduled check is the retry.
@shared_task(bind=True, name="feeds.check", max_retries=0, dead_letter=False)
def check(self: Any, url: str) -> dict[str, Any]:
    """Read the feed at `url` and keep its new entries.

    Returns {"url", "title", "format", "entries", "new", "not_modified"}: `entries` counts those in
    the document, 0 when the server said it had not changed; `url` comes without user name and
    password. Raises FeedError.
    """
    return check_feed(url, progress=self.progress)


def check_feed(url: str, *, progress: Progress) -> dict[str, Any]:
    """The task without its worker; `progress(current, total, message)` is called at every step."""
    # Outside the try: what is no URL at all can't be looked up in the database either.
    address(url)
    try:
        return _check(url, progress)
    except FeedError as error:
        store.failed(url, str(error), now=timezone.now())
        raise


def _check(url: str, progress: Progress) -> dict[str, Any]:
    known = Feed.objects.filter(url=url).first()
    progress(0, STEPS, f"fetching {shown(url)}")
    fetched = _fetched(url, known)
    if isinstance(fetched, Fetched):
        return _keep(url, fetched, progress)
    # Only what was asked with an earlier answer's validators is answered so; hence the feed is known.
    assert known is not None
    store.not_modified(known, now=timezone.now())
    progress(STEPS, STEPS, "not modified")
    return _result(url, known.title, known.format, not_modified=True)


def _fetched(url: str, known: Feed | None) -> Fetched | NotModified:
    try:
        fetched = fetch(
            url,
            known.etag if known else "",
            known.last_modified if known else "",
            timeout=getattr(settings, "FEEDS_TIMEOUT", TIMEOUT),
            max_bytes=getattr(settings, "FEEDS_MAX_BYTES", MAX_BYTES),
        )
    except FeedError as error:
        _count(url, outcome_of(error.status), error.status)
        raise
    _count(url, Outcome.SUCCEEDED)
    return fetched


def _count(url: str, outcome: Outcome, status: int | None = None) -> None:
    """For the blocking monitor, under the domain of the feed's own address, wherever redirects lead."""
    # A URL may name a host that no domain is called; the fetch has said so better.
    with suppress(InvalidFetch):
        record_fetch(address(url)[0].host, outcome, status)


def _keep(url: str, fetched: Fetched, progress: Progress) -> dict[str, Any]:
    progress(1, STEPS, f"parsing {len(fetched.body):,} bytes")
    parsed = parse(fetched.body, fetched.content_type, url=fetched.url)

    def report(stored: int, new: int) -> None:
        progress(2 if stored < new else STEPS, STEPS, f"storing {stored} of {new}")

    new = store.store(url, fetched, parsed, now=timezone.now(), report=report)
    return _result(url, parsed.title, parsed.format, entries=len(parsed.entries), new=new)


def _result(
    url: str, title: str, feed_format: str, *, entries: int = 0, new: int = 0, not_modified: bool = False
) -> dict[str, Any]:
    return {
        "url": shown(url),
        "title": title,
        "format": feed_format,
        "entries": entries,
        "new": new,
        "not_modified": not_modified,
    }
