"""Small documents of every format that `feeds.check` reads."""

RSS2 = b"""<?xml version="1.0" encoding="utf-8"?>
<rss version="2.0"><channel>
<title>Harbour news</title><link>https://harbour.example/</link><description>Ships</description>
<item><title>Two ships</title><link>https://harbour.example/2</link><guid isPermaLink="false">ship-2</guid>
<pubDate>Tue, 03 Jun 2025 11:05:30 +0200</pubDate><description>Both &lt;b&gt;late&lt;/b&gt;</description>
<author>ann@harbour.example</author></item>
<item><title>One ship</title><link>https://harbour.example/1</link></item>
</channel></rss>"""

RSS1 = b"""<?xml version="1.0" encoding="utf-8"?>
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"
 xmlns:dc="http://purl.org/dc/elements/1.1/">
<channel rdf:about="https://library.example/"><title>New books</title><link>https://library.example/</link>
<description>Books</description></channel>
<item rdf:about="https://library.example/b/1"><title>A book</title><link>https://library.example/b/1</link>
<dc:date>2025-06-03T09:05:30Z</dc:date></item>
</rdf:RDF>"""

ATOM = """<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom"><title>Météo</title><id>urn:weather</id>
<updated>2025-06-03T09:05:30Z</updated>
<entry><id>urn:weather:1</id><title>Storm</title><link href="/storm"/><updated>2025-06-03T09:05:30Z</updated>
<author><name>Zoë</name></author><content type="html">Very &lt;i&gt;windy&lt;/i&gt;</content></entry>
</feed>""".encode()


def rss(*items: str, title: str = "Made up") -> bytes:
    """An RSS 2.0 document around these <item> contents."""
    inner = "".join(f"<item>{item}</item>" for item in items)
    return (
        f'<?xml version="1.0" encoding="utf-8"?><rss version="2.0"><channel><title>{title}</title>{inner}'
        "</channel></rss>"
    ).encode()


def numbered(count: int) -> bytes:
    return rss(*(f"<guid>n-{n}</guid><title>Number {n}</title>" for n in range(count)))
