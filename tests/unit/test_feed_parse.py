"""What a document becomes, or why it becomes nothing."""

import gzip
import tracemalloc
from datetime import UTC, datetime

import pytest

from jobs.tasks.feeds.body import Body
from jobs.tasks.feeds.errors import FeedError, shown
from jobs.tasks.feeds.parse import parse
from tests.support.feed_samples import ATOM, RSS1, RSS2, rss

MOMENT = datetime(2025, 6, 3, 9, 5, 30, tzinfo=UTC)


def only(item: str):
    return parse(rss(item)).entries[0]


def test_rss_2_gives_title_format_and_entries_in_document_order():
    feed = parse(RSS2, "application/rss+xml")
    assert (feed.title, feed.format) == ("Harbour news", "RSS 2.0")
    assert [entry.guid for entry in feed.entries] == ["ship-2", "https://harbour.example/1"]
    first = feed.entries[0]
    assert (first.title, first.link, first.author) == ("Two ships", "https://harbour.example/2", "ann@harbour.example")
    assert (first.summary, first.published_at) == ("Both <b>late</b>", MOMENT)


def test_rss_1_entries_are_identified_by_their_rdf_about():
    feed = parse(RSS1, "application/rdf+xml")
    assert (feed.title, feed.format) == ("New books", "RSS 1.0")
    assert [(e.guid, e.published_at) for e in feed.entries] == [("https://library.example/b/1", MOMENT)]


def test_atom_links_are_resolved_against_the_url_and_content_stands_in_for_a_summary():
    feed = parse(ATOM, "application/atom+xml", url="https://weather.example/feed")
    assert (feed.title, feed.format) == ("Météo", "Atom 1.0")
    entry = feed.entries[0]
    assert (entry.guid, entry.link) == ("urn:weather:1", "https://weather.example/storm")
    assert (entry.author, entry.summary, entry.published_at) == ("Zoë", "Very <i>windy</i>", MOMENT)


def test_a_feed_without_entries_is_a_feed():
    assert parse(rss()).entries == []


@pytest.mark.parametrize(
    "content_type",
    ["", "text/html", "text/xml", "text/xml; charset=us-ascii", "application/xml; charset=nonsense", "image/png"],
)
def test_a_wrong_media_type_or_charset_is_forgiven(content_type):
    assert parse(ATOM, content_type).title == "Météo"


def test_a_legacy_charset_named_in_the_document_is_honoured():
    body = ATOM.decode().replace("utf-8", "iso-8859-1").encode("iso-8859-1")
    assert parse(body, "application/xml").title == "Météo"


def test_bad_xml_is_refused_with_its_line_and_column():
    body = b'<?xml version="1.0"?>\n<rss version="2.0"><channel>\n<title>A & B</title></channel></rss>'
    with pytest.raises(FeedError, match=r"^https://x\.example/f is not well-formed XML: .+ at line 3, column \d+: "):
        parse(body, url="https://x.example/f")


def test_the_line_is_counted_in_the_document_as_sent_when_it_has_no_xml_declaration():
    with pytest.raises(FeedError, match="at line 2, column"):
        parse(b'<rss version="2.0"><channel>\n<title>A & B</title></channel></rss>')


def test_a_document_that_stops_in_the_middle_is_refused_whole():
    with pytest.raises(FeedError, match="not well-formed XML"):
        parse(RSS2[: RSS2.index(b"</channel>")])


def test_an_undeclared_prefix_or_entity_is_bad_xml():
    for item in ("<media:title>x</media:title>", "<title>a&nbsp;b</title>"):
        with pytest.raises(FeedError, match="not well-formed XML"):
            parse(rss(item))


@pytest.mark.parametrize("body", [b"", b" \n\t ", b"\x00\x00"])
def test_an_empty_body_is_refused(body):
    with pytest.raises(FeedError, match="sent an empty body where a feed was expected: check the URL"):
        parse(body)


@pytest.mark.parametrize(
    "body",
    [
        b"<!DOCTYPE html><html><body><br>Hello</body></html>",
        b"\n<html><head/></html>",
        b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "x"><html/>',
    ],
)
def test_a_web_page_is_told_apart_from_bad_xml(body):
    with pytest.raises(FeedError, match="is an HTML page, not a feed: give the URL of its RSS or Atom feed"):
        parse(body, "text/html")


@pytest.mark.parametrize("body", [b"<sitemap><url>x</url></sitemap>", b'<?xml version="1.0"?><soap/>'])
def test_xml_that_is_no_feed_is_refused(body):
    with pytest.raises(FeedError, match="is XML but neither RSS nor Atom: give the URL of a feed"):
        parse(body)


@pytest.mark.parametrize(
    "body", [b"\x89PNG\r\n\x1a\n\xff\xfe", b'{"version": "https://jsonfeed.org"}', bytes(range(256)) * 8]
)
def test_bytes_that_are_no_xml_are_refused(body):
    with pytest.raises(FeedError):
        parse(body, "application/xml")


@pytest.mark.parametrize("charset", ["undefined", "idna", "punycode", "a\x00b", "zlib", "utf-7"])
def test_a_charset_that_trips_the_parser_is_a_feed_error_or_forgiven(charset):
    try:
        assert parse(RSS2, f"application/xml; charset={charset}").title == "Harbour news"
    except FeedError as error:
        assert "could not be read by the parser" in str(error)  # noqa: PT017


def test_an_entry_without_id_is_identified_by_its_link():
    assert only("<link>https://a.example/1</link><title>x</title>").guid == "https://a.example/1"


def test_an_entry_keeps_its_identity_when_the_feed_moves():
    body = rss("<guid>7</guid><title>x</title>", "<link>/8</link><title>y</title>")
    old, new = (parse(body, url=url).entries for url in ("http://a.example/f", "https://b.example/f"))
    assert [entry.guid for entry in old] == [entry.guid for entry in new] == ["7", "/8"]
    assert new[1].link == "https://b.example/8"


def test_an_entry_without_id_and_link_is_identified_by_what_it_says_and_when():
    base = "<title>Untitled</title><pubDate>Tue, 03 Jun 2025 09:00:00 GMT</pubDate>"
    guid = only(base).guid
    assert guid.startswith("sha256:")
    assert guid == only(base).guid
    others = [
        base.replace("03 Jun", "04 Jun"),
        base.replace("Untitled", "Titled"),
        base + "<description>s</description>",
    ]
    assert len({guid, *(only(other).guid for other in others)}) == 4


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "http://", "http://[", "x"]
)
def test_only_web_links_are_kept(link):
    assert only(f"<guid isPermaLink='false'>1</guid><link>{link}</link>").link == ""


def test_a_nul_character_in_encoded_content_is_taken_out():
    atom = ATOM.replace(b'<content type="html">Very &lt;i&gt;windy&lt;/i&gt;', b'<content mode="base64">YQBi')
    assert parse(atom).entries[0].summary == "ab"


@pytest.mark.parametrize(
    "date",
    ["", "soon", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "Tue, 99 Jun 2025 09:00:00 GMT", "99999999999999"],
)
def test_a_date_that_means_nothing_is_none(date):
    assert only(f"<guid>1</guid><pubDate>{date}</pubDate>").published_at is None


def test_markup_that_could_run_is_taken_out_of_the_summary():
    summary = only(
        "<guid>1</guid><description>&lt;script&gt;alert(1)&lt;/script&gt;&lt;b&gt;x&lt;/b&gt;</description>"
    ).summary
    assert summary == "<b>x</b>"


def with_entity(declaration: str, title: str = "&x;") -> str:
    doctype = f"<!DOCTYPE rss [\n<!ENTITY {declaration}>\n]>"
    return RSS2.decode().replace("<rss", f"{doctype}<rss").replace("Harbour news", title)


@pytest.mark.parametrize("charset", ["utf-8", "utf-16", "utf-7"])
def test_a_document_that_defines_entities_is_refused_before_one_can_grow(charset):
    body = with_entity(f'x "{"A" * 1000}"', "&x;" * 1000 + "&").replace("utf-8", charset).encode(charset)
    with pytest.raises(FeedError, match="declares the XML entity 'x', and only entities of up to 8 characters are"):
        parse(body, f"application/xml; charset={charset}")


def test_entities_that_stand_for_others_are_refused():
    with pytest.raises(FeedError, match="declares the XML entity 'x'"):
        parse(with_entity('a "12345678">\n<!ENTITY x "&a;&a;"').encode())


def test_an_entity_that_stands_for_a_character_is_fine():
    assert parse(with_entity('nbsp "&#160;"', "Harbour&nbsp;news").encode()).title == "Harbour\xa0news"


def test_a_file_named_by_an_entity_is_never_opened(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("SECRET")
    with pytest.raises(FeedError, match="declares the XML entity 'x'"):
        parse(with_entity(f'x SYSTEM "{secret.as_uri()}"').encode())


def test_the_doctype_of_rss_0_91_is_no_obstacle():
    doctype = (
        '<!DOCTYPE rss PUBLIC "-//Netscape Communications//DTD RSS 0.91//EN" '
        '"http://my.netscape.com/publish/formats/rss-0.91.dtd">'
    )
    feed = parse(RSS2.decode().replace("<rss", f"{doctype}\n<rss").replace('"2.0"', '"0.91"').encode())
    assert (feed.format, len(feed.entries)) == ("RSS 0.91 (Netscape)", 2)


def test_an_undefined_entity_is_bad_xml_even_when_a_dtd_elsewhere_might_define_it():
    body = RSS2.decode().replace("<rss", '<!DOCTYPE rss SYSTEM "http://x.example/d"><rss').replace(" news", "&nbsp;")
    with pytest.raises(FeedError, match="not well-formed XML"):
        parse(body.encode())


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("http://a\x00b/", "A feed URL that can't be read"),
        ("http://a.example/\ud800", "A feed URL that can't be read"),
        ("https://ann:secret@a.example/f?x=1", "https://a.example/f?x=1"),
        ("https://secret@a.example:8443/f", "https://a.example:8443/f"),
        ("https://medium.example/feed/@ann", "https://medium.example/feed/@ann"),
        ("http://ann:se/cret@a.example/", "A feed URL that can't be read"),
        ("http://ann:secret@[/", "A feed URL that can't be read"),
    ],
)
def test_a_url_is_shown_without_its_password(url, safe):
    assert shown(url) == safe


def test_a_body_of_exactly_the_cap_is_taken_and_one_byte_more_is_not():
    body = Body("F", "", 4)
    body.add(b"1234")
    assert body.finish() == b"1234"
    with pytest.raises(FeedError, match=r"F is larger than 4 bytes: .+ raise FEEDS_MAX_BYTES"):
        body.add(b"5")


def test_a_compressed_body_is_never_unpacked_further_than_the_cap():
    bomb = gzip.compress(bytes(20 * 2**20))
    body = Body("F", "gzip", 1000)
    tracemalloc.start()
    try:
        with pytest.raises(FeedError, match="F is larger than 1,000 bytes"):
            body.add(bomb)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
