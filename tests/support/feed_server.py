"""A real HTTP server on a free local port whose every path can be told how to behave."""

import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MIB = 2**20
Behaviour = Callable[["Handler"], None]


class FeedServer(ThreadingHTTPServer):
    """`serve(path, behaviour)` returns the URL; `requests` holds the (path, headers) seen so far."""

    daemon_threads = True
    # The default of 5 turns away the crowd that a concurrency test sends.
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviours: dict[str, Behaviour] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.closing = threading.Event()
        self.body_bytes_sent = 0

    def serve(self, path: str, behaviour: Behaviour) -> str:
        self.behaviours[path] = behaviour
        return self.url(path)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def headers_of(self, index: int) -> dict[str, str]:
        return self.requests[index][1]

    def handle_error(self, request: object, client_address: object) -> None:
        """Silence: most behaviours end with the client hanging up, which is the point of them."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FeedServer

    def do_GET(self) -> None:
        self.close_connection = True
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((self.path, headers))
        self.server.behaviours[self.path](self)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Connection": "close"} | headers).items():
            self.send_header(name, value)
        self.end_headers()

    def write(self, piece: bytes) -> None:
        self.wfile.write(piece)
        self.server.body_bytes_sent += len(piece)


@contextmanager
def feed_server() -> Iterator[FeedServer]:
    server = FeedServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def ok(body: bytes, content_type: str = "application/xml", **headers: str) -> Behaviour:
    """200 with this body; keyword `etag="x"` becomes the header ETag, `last_modified` Last-Modified."""
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}

    def behave(handler: Handler) -> None:
        handler.head(200, {"Content-Type": content_type, "Content-Length": str(len(body))} | named)
        handler.write(body)

    return behave


def status(code: int, **headers: str) -> Behaviour:
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}

    def behave(handler: Handler) -> None:
        handler.head(code, named if code == 304 else {"Content-Length": "0"} | named)

    return behave


def unless_matched(request_header: str, expected: str, otherwise: Behaviour) -> Behaviour:
    """304 if the request carries exactly this validator, else the other behaviour."""

    def behave(handler: Handler) -> None:
        matched = handler.headers.get(request_header) == expected
        (status(304) if matched else otherwise)(handler)

    return behave


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Each request gets the next behaviour; the last one stays."""
    left = list(behaviours)
    return lambda handler: (left.pop(0) if len(left) > 1 else left[0])(handler)


def together(parties: int, behaviour: Behaviour) -> Behaviour:
    """Answer nobody until `parties` requests are waiting."""
    barrier = threading.Barrier(parties, timeout=10)

    def behave(handler: Handler) -> None:
        barrier.wait()
        behaviour(handler)

    return behave


def stall(handler: Handler) -> None:
    """Take the request and never answer."""
    handler.server.closing.wait()


def drip_headers(interval: float) -> Behaviour:
    """A status line, then one byte of an endless header every `interval` seconds."""

    def behave(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        _drip(handler, interval)

    return behave


def drip_body(interval: float) -> Behaviour:
    """Good headers, then one byte of the body every `interval` seconds."""

    def behave(handler: Handler) -> None:
        handler.head(200, {"Content-Type": "application/xml"})
        _drip(handler, interval)

    return behave


def _drip(handler: Handler, interval: float) -> None:
    while not handler.server.closing.wait(interval):
        handler.write(b"x")


def large(size: int = 50 * MIB, *, announced: bool) -> Behaviour:
    """A body of `size` bytes, with or without Content-Length."""

    def behave(handler: Handler) -> None:
        length = {"Content-Length": str(size)} if announced else {}
        handler.head(200, {"Content-Type": "application/xml"} | length)
        for _ in range(0, size, MIB // 4):
            handler.write(b" " * (MIB // 4))

    return behave


def announce(size: int) -> Behaviour:
    """The headers of a body of `size` bytes, and then nothing."""

    def behave(handler: Handler) -> None:
        handler.head(200, {"Content-Type": "application/xml", "Content-Length": str(size)})
        stall(handler)

    return behave


def gzip_bomb(size: int = 50 * MIB) -> Behaviour:
    """`size` bytes of nothing in a thousandth of that, although nobody asked for gzip."""
    return ok(gzip.compress(b" " * size), content_encoding="gzip")


def redirect(location: str, code: int = 302, *, body: int = 0) -> Behaviour:
    """A redirect that carries a body of so many bytes."""

    def behave(handler: Handler) -> None:
        handler.head(code, {"Location": location, "Content-Length": str(body)})
        for _ in range(0, body, MIB // 4):
            handler.write(b" " * (MIB // 4))

    return behave


def cut_off(body: bytes) -> Behaviour:
    """Announce more than is sent, then hang up."""

    def behave(handler: Handler) -> None:
        handler.head(200, {"Content-Type": "application/xml", "Content-Length": str(len(body) + 1)})
        handler.write(body)

    return behave
