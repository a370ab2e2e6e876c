"""Getting a feed over HTTP: bounded in time, in size and in where it may lead."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus

import httpx

from .body import Body
from .errors import UNREADABLE, FeedError, shown

MAX_REDIRECTS = 5
MAX_URL_BYTES = 2000
HEADERS = {
    "User-Agent": "Jobsite feeds.check",
    "Accept": "application/atom+xml, application/rss+xml, application/rdf+xml, application/xml;q=0.9, */*;q=0.5",
    # A compressed body hides its size until it is unpacked.
    "Accept-Encoding": "identity",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """A body and what is needed to read it and to ask again; `url` is where redirects ended."""

    url: str
    body: bytes
    content_type: str = ""
    etag: str = ""
    last_modified: str = ""


@dataclass(frozen=True, slots=True)
class NotModified:
    """The server still has what was read last time."""


def fetch(
    url: str, etag: str = "", last_modified: str = "", *, timeout: float = 20.0, max_bytes: int = 10 * 2**20
) -> Fetched | NotModified:
    """Get `url`, or learn that nothing changed since the answer that carried these validators.

    `timeout` is seconds for everything: connecting, redirects, headers and body (a name lookup that
    is under way ends by the resolver's own limit). `max_bytes` counts the decoded body.
    Raises FeedError for whatever keeps a 200 or an expected 304 from arriving whole.
    """
    target, auth = address(url)
    _tls()  # outside the deadline
    try:
        # Timeouts per read let a server that drips one byte at a time, even of its headers, go on for ever;
        # only an event loop can be told to drop everything at a set time.
        return asyncio.run(asyncio.wait_for(_get(target, auth, etag, last_modified, timeout, max_bytes), timeout))
    except TimeoutError as error:
        raise FeedError(
            f"{shown(url)} did not answer completely within {timeout:g} s: the next scheduled check tries again; "
            "raise FEEDS_TIMEOUT if the server is always this slow"
        ) from error
    except httpx.TimeoutException as error:
        raise FeedError(
            f"{shown(url)} sent nothing for {timeout / 2:g} s: the next scheduled check tries again; "
            "check that the server is up"
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        raise FeedError(
            f"{shown(url)} could not be read ({type(error).__name__}: {str(error)[:200]}): check the URL and that the "
            "server is up; the next scheduled check tries again"
        ) from error


def address(url: str) -> tuple[httpx.URL, httpx.Auth | None]:
    """The URL to ask, without its user name and password, and those as an Authorization.

    Raises FeedError for what is no http or https URL or is too long to be kept.
    """
    if not isinstance(url, str) or len(url.encode(errors="replace")) > MAX_URL_BYTES:
        raise FeedError(f"feeds.check needs an http or https URL of at most {MAX_URL_BYTES} bytes: correct the URL")
    invalid = FeedError(f"{shown(url)} is not a valid URL: correct it")
    # httpx lets pass what it would ask a name server for, such as "http://[".
    if " " in url or shown(url) == UNREADABLE:
        raise invalid
    try:
        target = httpx.URL(url)
        _only_http(target, shown(url))
    except (UnicodeError, httpx.InvalidURL):
        # Its message may quote a piece of a password, so it is not kept.
        raise invalid from None
    # httpx writes each URL it asks to the log, so a password must not be in it.
    auth = httpx.BasicAuth(target.username, target.password) if target.userinfo else None
    return target.copy_with(username=None, password=None) if auth else target, auth


async def _get(
    target: httpx.URL, auth: httpx.Auth | None, etag: str, last_modified: str, timeout: float, max_bytes: int
) -> Fetched | NotModified:
    conditions = {"If-None-Match": etag, "If-Modified-Since": last_modified}
    sent = {name: value for name, value in conditions.items() if value}
    async with httpx.AsyncClient(headers=HEADERS, timeout=timeout / 2, verify=_tls()) as client:
        request = client.build_request("GET", target, headers=sent)
        async with _following(client, request, auth) as response:
            name = shown(str(response.url))
            if response.status_code == HTTPStatus.NOT_MODIFIED and sent:
                return NotModified()
            if response.status_code != HTTPStatus.OK:
                raise FeedError(_refusal(name, response.status_code), status=response.status_code)
            return await _whole(name, response, max_bytes)


@asynccontextmanager
async def _following(
    client: httpx.AsyncClient, request: httpx.Request, auth: httpx.Auth | None
) -> AsyncIterator[httpx.Response]:
    """The response at the end of the redirects, its body still unread.

    httpx's own following reads every redirect's body whole, whatever its size.
    """
    first = shown(str(request.url))
    response = await client.send(request, auth=auth, stream=True)
    for _ in range(MAX_REDIRECTS):
        if response.next_request is None:
            break
        await response.aclose()
        _only_http(response.next_request.url, first)
        response = await client.send(response.next_request, stream=True)
    try:
        if response.next_request is not None:
            raise FeedError(f"{first} redirects more than {MAX_REDIRECTS} times: give the final URL")
        yield response
    finally:
        await response.aclose()


async def _whole(name: str, response: httpx.Response, max_bytes: int) -> Fetched:
    headers = response.headers
    body = Body(name, headers.get("content-encoding", ""), max_bytes)
    body.expect(headers.get("content-length", ""))
    async for piece in response.aiter_raw():
        body.add(piece)
    return Fetched(
        url=str(response.url),
        body=body.finish(),
        content_type=headers.get("content-type", ""),
        etag=_sendable(headers.get("etag", "")),
        last_modified=_sendable(headers.get("last-modified", "")),
    )


@cache
def _tls() -> ssl.SSLContext:
    """The certificates to trust; reading them takes longer than many a feed."""
    return httpx.create_ssl_context()


def _only_http(target: httpx.URL, named: str) -> None:
    if target.scheme not in ("http", "https") or not target.host:
        raise FeedError(
            f"{named} leads to {shown(str(target))!r}, but a feed is read over http or https only: correct the URL"
        )


def _refusal(name: str, code: int) -> str:
    answer = f"{name} answered {code} {httpx.codes.get_reason_phrase(code)}".rstrip()
    match code:
        case 401 | 403 | 407:
            return f"{answer}: give the URL credentials that the server accepts or disable the schedule"
        case 429 | 500 | 502 | 503 | 504:
            return f"{answer}: the next scheduled check tries again; if it goes on, tell the feed's owner"
        case 404 | 410:
            return f"{answer}: correct the URL or disable the schedule"
    return f"{answer} where 200 OK with a feed was expected: correct the URL or disable the schedule"


def _sendable(validator: str) -> str:
    """The validator if a later request can carry it, else nothing, which asks for the whole feed."""
    return validator if validator.isascii() and validator.isprintable() else ""
