"""Taking in a response body piece by piece, decoded, and never more of it than allowed."""

import zlib

from .errors import FeedError

GZIP_OR_ZLIB = zlib.MAX_WBITS | 32


class Body:
    """A body under a cap of `max_bytes`, counted after decompression.

    `add` takes raw pieces as they arrive and raises FeedError at the first byte too many;
    `finish` returns the whole. `name` is how messages call the feed.
    """

    def __init__(self, name: str, encoding: str, max_bytes: int) -> None:
        self._name = name
        self._max_bytes = max_bytes
        self._bytes = bytearray()
        self._inflate = _decompressor(name, encoding)

    def expect(self, content_length: str) -> None:
        """Refuse a body whose announced size is already too large, before reading any of it."""
        if content_length.isascii() and content_length.isdigit() and int(content_length) > self._max_bytes:
            raise self._too_large()

    def add(self, raw: bytes) -> None:
        self._bytes += self._decoded(raw)
        if len(self._bytes) > self._max_bytes:
            raise self._too_large()

    def finish(self) -> bytes:
        if self._inflate is not None and self._bytes and not self._inflate.eof:
            raise FeedError(
                f"{self._name} sent a compressed body that ends too early: check the server, then run again"
            )
        return bytes(self._bytes)

    def _decoded(self, raw: bytes) -> bytes:
        if self._inflate is None:
            return raw
        # One byte past the cap is enough to know; without the bound 64 KB of gzip become 64 MB at once.
        room = self._max_bytes - len(self._bytes) + 1
        try:
            return self._inflate.decompress(raw, room)
        except zlib.error as error:
            raise FeedError(
                f"{self._name} sent a body that is not the gzip it announces ({error}): correct the server's "
                "Content-Encoding"
            ) from error

    def _too_large(self) -> FeedError:
        return FeedError(
            f"{self._name} is larger than {self._max_bytes:,} bytes: point the schedule at a smaller feed or "
            "raise FEEDS_MAX_BYTES"
        )


def _decompressor(name: str, encoding: str) -> "zlib._Decompress | None":
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip" | "deflate":
            return zlib.decompressobj(GZIP_OR_ZLIB)
    raise FeedError(
        f"{name} sent a body in the encoding {encoding[:40]!r} although only identity was accepted: "
        "make the server send identity or gzip"
    )
