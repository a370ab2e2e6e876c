"""Bytes to entries: no network, no database, no clock."""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from time import struct_time
from typing import Any
from urllib.parse import urljoin, urlsplit
from xml.parsers import expat
from xml.sax import SAXException

import feedparser
from feedparser.api import SUPPORTED_VERSIONS
from feedparser.encodings import convert_to_utf8

from .errors import FeedError, shown

# feedparser records bad XML, but strange content inside good XML or a strange charset can still trip it.
# Not `Exception`: a time limit that strikes here is no fault of the feed.
TRIPS = (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)

LONGEST_ENTITY = 8
"""Characters an entity may stand for. `&a;` is three bytes, so such entities can't make a document grow much."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedEntry:
    """One entry; `guid` identifies it in its feed, `link` is http(s) or empty, `published_at` aware UTC or None."""

    guid: str
    title: str
    link: str
    author: str
    summary: str
    published_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedFeed:
    """A feed's title, its format such as "RSS 2.0", and its entries in document order."""

    title: str
    format: str
    entries: list[ParsedEntry]


def parse(body: bytes, content_type: str = "", *, url: str = "") -> ParsedFeed:
    """Read RSS or Atom; relative links are resolved against `url`, which messages also name.

    Strict about XML, lenient about charset and media type. Raises FeedError for anything that
    is not a well-formed feed.
    """
    name = shown(url) if url else "The feed"
    if not body.strip(b"\x00 \t\r\n"):
        raise FeedError(f"{name} sent an empty body where a feed was expected: check the URL")
    read = _read(body, content_type, name)
    version = read.get("version") or ""
    if not version.startswith(("rss", "atom")):
        raise FeedError(f"{name} is XML but neither RSS nor Atom: give the URL of a feed")
    entries = [_entry(item, url) for item in read.entries]
    return ParsedFeed(title=_text(read.feed.get("title")), format=SUPPORTED_VERSIONS[version], entries=entries)


def _read(body: bytes, content_type: str, name: str) -> Any:
    """What feedparser makes of the body, given that it is well-formed."""
    try:
        text = _utf8(body, content_type)
        _refuse_page(text, name)
        _refuse_malformed(text, body, name)
        # Not told the URL: it would resolve ids against it, and all entries would look new after a move.
        read = feedparser.parse(text, response_headers={"content-type": "application/xml; charset=utf-8"})
    except TRIPS as error:
        raise FeedError(
            f"{name} could not be read by the parser ({type(error).__name__}): tell the feed's owner or disable "
            "the schedule"
        ) from error
    if isinstance(read.get("bozo_exception"), SAXException):
        raise _malformed(name, str(read.bozo_exception)) from read.bozo_exception
    return read


def _utf8(body: bytes, content_type: str) -> bytes:
    """The document in UTF-8 with a declaration that says so, by feedparser's rules for contradictory charsets."""
    text: bytes = convert_to_utf8({"content-type": content_type} if content_type else {}, body, {})
    return text


def _refuse_page(text: bytes, name: str) -> None:
    if re.match(rb"(<\?xml[^>]*>)?\s*<(!doctype\s+html|html)\b", text[:512], re.IGNORECASE):
        raise FeedError(f"{name} is an HTML page, not a feed: give the URL of its RSS or Atom feed")


def _refuse_malformed(text: bytes, body: bytes, name: str) -> None:
    """Bad XML must not reach feedparser, whose second, lenient parser expands entities without a limit."""

    def refuse_entity(entity: str, is_parameter: bool, value: str | None, *_: object) -> None:
        if is_parameter or value is None or "&" in value or len(value) > LONGEST_ENTITY:
            raise FeedError(
                f"{name} declares the XML entity {entity[:40]!r}, and only entities of up to {LONGEST_ENTITY} "
                "characters are accepted: tell the feed's owner"
            )

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.EntityDeclHandler = refuse_entity
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        line = error.lineno - (0 if _declares_itself(body) else 1)
        raise _malformed(name, f"{expat.errors.messages[error.code]} at line {line}, column {error.offset}") from error


def _declares_itself(body: bytes) -> bool:
    """Whether the document came with an XML declaration; one that did not was given a line with one."""
    return body[:64].replace(b"\x00", b"").lstrip(b"\xef\xbb\xbf\xff\xfe").startswith(b"<?xml")


def _malformed(name: str, what: str) -> FeedError:
    return FeedError(f"{name} is not well-formed XML: {what}: tell the feed's owner; nothing of it was stored")


def _entry(item: dict[str, Any], url: str) -> ParsedEntry:
    title, link = _text(item.get("title")), _text(item.get("link"))
    summary = _text(item.get("summary")) or _content(item)
    # `dict.get`, because the parser's own invents an "updated" from "published" and warns about it.
    published_at = _moment(item.get("published_parsed") or dict.get(item, "updated_parsed"))
    # The date tells "Untitled" posts of two days apart.
    digest = hashlib.sha256(repr((title, summary, published_at)).encode()).hexdigest()
    return ParsedEntry(
        guid=_text(item.get("id")) or link or f"sha256:{digest}",
        title=title,
        link=_http(link, url),
        author=_text(item.get("author")),
        summary=summary,
        published_at=published_at,
    )


def _content(item: dict[str, Any]) -> str:
    parts = item.get("content") or []
    return _text(parts[0].get("value")) if parts else ""


def _text(value: object) -> str:
    """The value without NUL, which base64 content may hold and PostgreSQL can't store."""
    return value.replace("\x00", "").strip() if isinstance(value, str) else ""


def _http(link: str, url: str) -> str:
    """The link, made absolute, if a page may offer it for clicking, else nothing (`javascript:` is a link, too)."""
    try:
        absolute = urljoin(url, link) if link else ""
        parts = urlsplit(absolute)
    except ValueError:
        return ""
    return absolute if parts.scheme in ("http", "https") and parts.hostname else ""


def _moment(parsed: struct_time | None) -> datetime | None:
    # Year 1 and year 9999 are how others write "none"; shown in a local time zone they overflow.
    if parsed is None or not 1 < parsed.tm_year < 9999:
        return None
    return datetime(*parsed[:6], tzinfo=UTC)
