"""The only writer of feed rows."""

import hashlib
from collections.abc import Callable
from datetime import datetime

from django.db import transaction

from ...models.feeds import Feed, FeedEntry
from .fetch import Fetched
from .parse import ParsedEntry, ParsedFeed

BATCH = 100


def store(url: str, fetched: Fetched, parsed: ParsedFeed, *, now: datetime, report: Callable[[int, int], None]) -> int:
    """Record a successful check and insert the entries not seen before, in one transaction.

    `report(stored, new)` is called before each batch and at the end. Returns the number of new entries.
    """
    checked = {"last_checked_at": now, "last_status": Feed.Status.OK, "last_error": ""}
    # Only together with the entries: validators kept without them would hide those entries for good.
    answer = {"etag": fetched.etag, "last_modified": fetched.last_modified}
    with transaction.atomic():
        # Before looking for the unseen, because it locks the row until the transaction ends: two checks of
        # one feed would otherwise both find an entry unseen, and the second insert would fail.
        feed, _ = Feed.objects.update_or_create(
            url=url, defaults={"title": parsed.title, "format": parsed.format} | checked | answer
        )
        new = _unseen(feed, parsed.entries, now)
        for start in range(0, len(new), BATCH):
            report(start, len(new))
            FeedEntry.objects.bulk_create(new[start : start + BATCH])
        report(len(new), len(new))
    return len(new)


def not_modified(feed: Feed, *, now: datetime) -> None:
    _checked(feed.url, now, Feed.Status.NOT_MODIFIED, "")


def failed(url: str, message: str, *, now: datetime) -> None:
    """Note a failed check on the feed's row; a URL that was never read has none and gets none."""
    _checked(url, now, Feed.Status.FAILED, message)


def _checked(url: str, now: datetime, status: object, error: str) -> None:
    Feed.objects.filter(url=url).update(last_checked_at=now, last_status=status, last_error=error)


def _unseen(feed: Feed, entries: list[ParsedEntry], now: datetime) -> list[FeedEntry]:
    """Rows for the entries the feed has none for; of two with one GUID in a document the first counts."""
    by_hash: dict[str, ParsedEntry] = {}
    for entry in entries:
        by_hash.setdefault(hashlib.sha256(entry.guid.encode()).hexdigest(), entry)
    seen = set(feed.entries.filter(guid_hash__in=list(by_hash)).values_list("guid_hash", flat=True))
    return [_row(feed, key, entry, now) for key, entry in by_hash.items() if key not in seen]


def _row(feed: Feed, guid_hash: str, entry: ParsedEntry, now: datetime) -> FeedEntry:
    return FeedEntry(
        feed=feed,
        guid=entry.guid,
        guid_hash=guid_hash,
        title=entry.title,
        link=entry.link,
        author=entry.author,
        summary=entry.summary,
        published_at=entry.published_at,
        first_seen_at=now,
    )
