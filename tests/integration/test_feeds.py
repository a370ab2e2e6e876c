"""`feeds.check` against a real HTTP server and a real PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from jobs.models.feeds import Feed, FeedEntry
from jobs.tasks.feeds import FeedError, check
from jobs.tasks.feeds.check import check_feed
from jobs.tasks.feeds.fetch import NotModified, fetch
from tests.support import feed_server as behave
from tests.support.feed_reading import read
from tests.support.feed_samples import ATOM, RSS1, RSS2, numbered, rss

LAST_MODIFIED = "Tue, 03 Jun 2025 09:05:30 GMT"


# --- what is kept ---


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "content_type", "feed_format", "title", "count"),
    [
        (RSS2, "application/rss+xml", "RSS 2.0", "Harbour news", 2),
        (RSS1, "application/rdf+xml", "RSS 1.0", "New books", 1),
        (ATOM, "application/atom+xml; charset=utf-8", "Atom 1.0", "Météo", 1),
        (ATOM, "text/xml; charset=us-ascii", "Atom 1.0", "Météo", 1),
    ],
)
def test_a_feed_of_each_format_is_kept(server, body, content_type, feed_format, title, count):
    url = server.serve("/feed", behave.ok(body, content_type))
    assert read(url) == {
        "url": url,
        "title": title,
        "format": feed_format,
        "entries": count,
        "new": count,
        "not_modified": False,
    }
    feed = Feed.objects.get(url=url)
    assert (feed.title, feed.format, feed.last_status, feed.entries.count()) == (title, feed_format, "ok", count)


@pytest.mark.django_db
def test_a_second_check_keeps_only_what_is_new_and_leaves_the_old_as_it_was(server):
    first = rss("<guid>1</guid><title>One</title>")
    second = rss("<guid>2</guid><title>Two</title>", "<guid>1</guid><title>One, corrected</title>")
    url = server.serve("/feed", behave.in_turn(behave.ok(first), behave.ok(second)))
    assert [read(url)["new"], read(url)["new"], read(url)["new"]] == [1, 1, 0]
    assert set(FeedEntry.objects.values_list("guid", "title")) == {("1", "One"), ("2", "Two")}


@pytest.mark.django_db
def test_one_guid_twice_in_a_document_is_one_entry(server):
    url = server.serve("/feed", behave.ok(rss("<guid>1</guid><title>A</title>", "<guid>1</guid><title>B</title>")))
    assert read(url)["new"] == 1
    assert FeedEntry.objects.get().title == "A"


@pytest.mark.django_db
def test_two_feeds_may_use_the_same_guid(server):
    for path in ("/a", "/b"):
        assert read(server.serve(path, behave.ok(RSS2)))["new"] == 2


@pytest.mark.django_db
def test_values_of_any_length_are_kept(server):
    long = "x" * 20_000
    url = server.serve("/feed", behave.ok(rss(f"<guid>{long}</guid><title>{long}</title>", title=long)))
    assert read(url)["new"] == 1
    entry = FeedEntry.objects.get()
    assert (entry.guid, len(entry.guid_hash), entry.title) == (long, 64, long)


@pytest.mark.django_db
def test_a_nul_character_is_left_out(server):
    body = ATOM.replace(b'<content type="html">Very &lt;i&gt;windy&lt;/i&gt;', b'<content mode="base64">YQBi')
    assert read(server.serve("/feed", behave.ok(body)))["new"] == 1
    assert FeedEntry.objects.get().summary == "ab"


@pytest.mark.django_db
def test_progress_counts_the_entries_being_stored(server):
    url = server.serve("/feed", behave.ok(numbered(120)))
    told: list[tuple[int, int, str]] = []
    check_feed(url, progress=lambda *step: told.append(step))
    assert told[0] == (0, 3, f"fetching {url}")
    assert told[1][2].startswith("parsing ")
    assert told[1][2].endswith(" bytes")
    assert [step[2] for step in told[2:]] == ["storing 0 of 120", "storing 100 of 120", "storing 120 of 120"]
    assert told[-1][:2] == (3, 3)


@pytest.mark.django_db(transaction=True)
def test_nothing_is_kept_when_storing_stops_half_way(server):
    url = server.serve("/feed", behave.ok(numbered(150), etag='"v1"'))

    def stop_at_100(current: int, total: int, message: str) -> None:
        if message == "storing 100 of 150":
            raise InterruptedError

    with pytest.raises(InterruptedError):
        check_feed(url, progress=stop_at_100)
    assert not Feed.objects.exists()
    assert not FeedEntry.objects.exists()
    assert read(url)["new"] == 150


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("known", [False, True])
def test_checks_of_one_feed_at_the_same_time_neither_fail_nor_keep_an_entry_twice(server, known):
    crowd = 6
    url = server.url("/feed")
    if known:
        server.serve("/feed", behave.ok(numbered(1)))
        read(url)
    server.serve("/feed", behave.together(crowd, behave.ok(numbered(300))))

    def run(_: int) -> int:
        try:
            return read(url)["new"]
        finally:
            connection.close()

    with ThreadPoolExecutor(crowd) as threads:
        new = list(threads.map(run, range(crowd)))
    assert sum(new) == 300 - known
    assert (Feed.objects.count(), FeedEntry.objects.count()) == (1, 300)


# --- asking again ---


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("request_header", "validator", "response_header"),
    [("If-None-Match", '"v1"', "etag"), ("If-Modified-Since", LAST_MODIFIED, "last_modified")],
)
def test_an_unchanged_feed_is_not_sent_again(server, request_header, validator, response_header):
    full = behave.ok(RSS2, **{response_header: validator})
    url = server.serve("/feed", behave.unless_matched(request_header, validator, full))
    assert read(url)["not_modified"] is False
    again = read(url)
    assert again == {
        "url": url,
        "title": "Harbour news",
        "format": "RSS 2.0",
        "entries": 0,
        "new": 0,
        "not_modified": True,
    }
    assert server.headers_of(1)[request_header.lower()] == validator
    assert Feed.objects.get().last_status == "not_modified"


@pytest.mark.django_db
def test_the_validators_of_a_feed_that_could_not_be_kept_are_not_sent(server):
    good, bad = behave.ok(RSS2, etag='"good"'), behave.ok(b"<rss><oops>", etag='"bad"')
    url = server.serve("/feed", behave.in_turn(good, bad, good))
    read(url)
    with pytest.raises(FeedError):
        read(url)
    read(url)
    assert server.headers_of(2)["if-none-match"] == '"good"'


@pytest.mark.django_db
def test_a_validator_that_no_request_can_carry_is_forgotten(server):
    url = server.serve("/feed", behave.ok(RSS2, etag='"caf\xe9"'))
    read(url)
    assert read(url)["new"] == 0
    assert "if-none-match" not in server.headers_of(1)


def test_a_304_that_was_not_asked_for_is_an_error(server):
    url = server.serve("/feed", behave.status(304))
    with pytest.raises(FeedError, match="answered 304 Not Modified where 200 OK with a feed was expected"):
        fetch(url)
    assert fetch(url, etag='"v1"') == NotModified()


# --- the task and its pages ---


def test_the_task_is_final_at_its_first_failure():
    assert (check.name, check.max_retries, check.dead_letter) == ("feeds.check", 0, False)


@pytest.mark.django_db
def test_the_settings_set_the_limits(server, settings):
    settings.FEEDS_MAX_BYTES = 100
    with pytest.raises(FeedError, match=r"is larger than 100 bytes"):
        read(server.serve("/feed", behave.ok(RSS2)))
    settings.FEEDS_TIMEOUT = 0.2
    with pytest.raises(FeedError, match=r"within 0\.2 s|nothing for 0\.1 s"):
        read(server.serve("/slow", behave.stall))


@pytest.mark.django_db
def test_the_admin_shows_feeds_and_entries_and_changes_neither(server):
    url = server.serve("/feed", behave.ok(RSS2)).replace("//", "//ann:secret@")
    read(url)
    feed, entry = Feed.objects.get(), FeedEntry.objects.get(guid="ship-2")
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    for page in ("feed/?q=Harbour", f"feed/{feed.pk}/change/", "feedentry/?q=ships", f"feedentry/{entry.pk}/change/"):
        text = client.get(f"/admin/jobs/{page}").content.decode()
        assert "Harbour news" in text
        assert "secret" not in text
        assert 'name="_save"' not in text
        assert "/add/" not in text.partition('id="content"')[2]
    assert '<a href="https://harbour.example/2" rel="noopener noreferrer nofollow">' in text
    assert client.post(f"/admin/jobs/feed/{feed.pk}/delete/", {"post": "yes"}).status_code == 403
