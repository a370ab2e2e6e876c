"""What goes wrong on the way to a feed: each failure is told, noted, and costs neither time nor memory."""

import gzip
import logging
import socket
import time

import pytest

from jobs.models.feeds import Feed
from jobs.tasks.feeds import FeedError
from jobs.tasks.feeds.check import check_feed
from jobs.tasks.feeds.fetch import Fetched, fetch
from tests.support import feed_server as behave
from tests.support.feed_reading import read
from tests.support.feed_samples import RSS2


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (404, "answered 404 Not Found: correct the URL or disable the schedule"),
        (410, "answered 410 Gone: correct the URL or disable the schedule"),
        (401, "answered 401 Unauthorized: give the URL credentials that the server accepts"),
        (500, "answered 500 Internal Server Error: the next scheduled check tries again"),
        (204, "answered 204 No Content where 200 OK with a feed was expected"),
    ],
)
def test_a_status_other_than_200_is_an_error_that_says_what_to_do(server, code, message):
    url = server.serve("/feed", behave.status(code))
    with pytest.raises(FeedError) as error:
        fetch(url)
    assert str(error.value).startswith(f"{url} {message}")


@pytest.mark.django_db(transaction=True)
def test_a_failed_check_is_noted_on_the_feed_and_a_later_success_clears_it(server):
    url = server.serve("/feed", behave.in_turn(behave.ok(RSS2), behave.status(404), behave.ok(RSS2)))
    read(url)
    checked_at = Feed.objects.get().last_checked_at
    with pytest.raises(FeedError) as error:
        read(url)
    feed = Feed.objects.get()
    assert (feed.last_status, feed.last_error) == ("failed", str(error.value))
    assert feed.last_checked_at > checked_at
    assert feed.entries.count() == 2
    read(url)
    feed.refresh_from_db()
    assert (feed.last_status, feed.last_error) == ("ok", "")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "sent an empty body where a feed was expected"),
        (b"<!DOCTYPE html><html><body>Hi</body></html>", "is an HTML page, not a feed"),
        (RSS2[:-10], "is not well-formed XML: "),
        (b"<notes/>", "is XML but neither RSS nor Atom"),
    ],
)
def test_a_first_check_that_fails_keeps_nothing(server, body, message):
    url = server.serve("/feed", behave.ok(body))
    with pytest.raises(FeedError) as error:
        read(url)
    assert str(error.value).startswith(f"{url} {message}")
    assert not Feed.objects.exists()


def test_a_server_that_never_answers_is_left_after_half_the_time(server):
    url = server.serve("/feed", behave.stall)
    with pytest.raises(FeedError, match=r"sent nothing for 1 s: the next scheduled check tries again"):
        fetch(url, timeout=2)


@pytest.mark.parametrize("drip", [behave.drip_headers, behave.drip_body])
def test_a_server_that_drips_is_left_at_the_deadline(server, drip):
    url = server.serve("/feed", drip(0.02))
    started = time.monotonic()
    with pytest.raises(FeedError, match=r"did not answer completely within 0\.6 s: .+ raise FEEDS_TIMEOUT"):
        fetch(url, timeout=0.6)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_of_50_mb_is_refused_without_reading_it_all(server, announced):
    url = server.serve("/feed", behave.large(announced=announced))
    with pytest.raises(FeedError, match=r"is larger than 1,048,576 bytes: .+ raise FEEDS_MAX_BYTES"):
        fetch(url, max_bytes=2**20)
    # What the client did not take fills the buffers between the two, a few megabytes.
    assert server.body_bytes_sent < 20 * 2**20


def test_a_body_announced_too_large_is_refused_before_any_of_it_arrives(server):
    url = server.serve("/feed", behave.announce(50 * 2**20))
    with pytest.raises(FeedError, match="is larger than"):
        fetch(url, timeout=5)


def test_a_feed_compressed_against_our_wish_is_read(server):
    url = server.serve("/feed", behave.ok(gzip.compress(RSS2), content_encoding="gzip"))
    fetched = fetch(url)
    assert isinstance(fetched, Fetched)
    assert fetched.body == RSS2
    assert server.headers_of(0)["accept-encoding"] == "identity"


def test_a_compressed_body_is_measured_unpacked(server):
    url = server.serve("/feed", behave.gzip_bomb())
    with pytest.raises(FeedError, match=r"is larger than 1,048,576 bytes"):
        fetch(url, max_bytes=2**20)


@pytest.mark.parametrize(
    ("body", "encoding", "message"),
    [
        (RSS2, "gzip", "sent a body that is not the gzip it announces"),
        (gzip.compress(RSS2)[:-20], "gzip", "sent a compressed body that ends too early"),
        (RSS2, "br", "sent a body in the encoding 'br' although only identity was accepted"),
    ],
)
def test_a_body_that_cannot_be_unpacked_is_an_error(server, body, encoding, message):
    url = server.serve("/feed", behave.ok(body, content_encoding=encoding))
    with pytest.raises(FeedError, match=message):
        fetch(url)


def test_a_connection_that_breaks_in_the_body_is_an_error(server):
    url = server.serve("/feed", behave.cut_off(RSS2))
    with pytest.raises(FeedError, match=r"could not be read \(RemoteProtocolError: "):
        fetch(url)


def test_a_server_that_is_not_there_is_an_error():
    with socket.socket() as nobody:
        # Bound but not listening: the port is taken, and whoever connects is refused.
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/feed"
        with pytest.raises(
            FeedError, match=r"could not be read \(ConnectError: .+check the URL and that the server is up"
        ):
            fetch(url)


def test_redirects_are_followed_to_the_feed(server):
    server.serve("/new", behave.ok(RSS2))
    url = server.serve("/old", behave.redirect("/new", 301))
    fetched = fetch(url)
    assert isinstance(fetched, Fetched)
    assert (fetched.url, fetched.body) == (server.url("/new"), RSS2)


def test_a_loop_of_redirects_ends(server):
    url = server.serve("/loop", behave.redirect("/loop"))
    with pytest.raises(FeedError, match="redirects more than 5 times: give the final URL"):
        fetch(url)
    assert len(server.requests) == 6


def test_the_body_of_a_redirect_is_not_read(server):
    server.serve("/new", behave.ok(RSS2))
    url = server.serve("/old", behave.redirect("/new", body=50 * 2**20))
    assert isinstance(fetch(url), Fetched)
    assert server.body_bytes_sent < 20 * 2**20


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://a.example/feed", "gopher://a.example"])
def test_a_redirect_away_from_the_web_is_refused(server, location):
    url = server.serve("/feed", behave.redirect(location))
    with pytest.raises(FeedError, match=r"leads to .+, but a feed is read over http or https only: correct the URL"):
        fetch(url)


def test_a_redirect_to_a_host_that_cannot_be_is_an_error(server):
    url = server.serve("/feed", behave.redirect("http://xn--a/"))
    with pytest.raises(FeedError, match=r"could not be read \(InvalidCodepoint: "):
        fetch(url)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "a.example/feed",
        "http://",
        "",
        "http://a b/",
        "http://a\x00b/",
        "http://a/\ud800",
        "http://xn--a/",
        "http://[",
        None,
        "http://a.example/" + "x" * 2000,
    ],
)
def test_what_is_no_web_address_is_refused_before_anything_is_asked(url):
    with pytest.raises(FeedError, match="correct"):
        read(url)


@pytest.mark.django_db
def test_a_password_in_the_url_is_sent_but_never_told(server, caplog):
    caplog.set_level(logging.DEBUG)
    url = server.serve("/feed", behave.in_turn(behave.ok(RSS2), behave.status(403)))
    url = url.replace("//", "//ann:secret@")
    told: list[str] = []
    result = check_feed(url, progress=lambda current, total, message: told.append(message))
    with pytest.raises(FeedError) as error:
        read(url)
    assert [headers["authorization"] for _, headers in server.requests] == ["Basic YW5uOnNlY3JldA=="] * 2
    feed = Feed.objects.get()
    for text in (caplog.text, str(result), str(told), str(error.value), feed.last_error, str(feed)):
        assert "secret" not in text
