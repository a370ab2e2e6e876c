"""The soak's proxy passes, holds back, slows down and resets real connections."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from jobsite.soak.proxy import Edge, Proxy

PATIENCE = 0.3
"""Seconds in which an open edge would long have answered."""


def echo(server: socket.socket) -> None:
    with suppress(OSError):
        while True:
            connection, _ = server.accept()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()


def answer(connection: socket.socket) -> None:
    with connection, suppress(OSError):
        while data := connection.recv(1024):
            connection.sendall(data)


@pytest.fixture
def edge() -> Iterator[Edge]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        threading.Thread(target=echo, args=(server,), daemon=True).start()
        made = Edge("test", lambda: asyncio.open_connection("127.0.0.1", port))
        Proxy([made]).start()
        yield made


@pytest.fixture
def client(edge: Edge) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", edge.port), timeout=10) as connection:
        yield connection


def say(client: socket.socket, word: bytes) -> bytes:
    client.sendall(word)
    return client.recv(1024)


def test_it_passes_both_ways(client: socket.socket) -> None:
    assert say(client, b"hello") == b"hello"


def test_what_is_held_back_arrives_late_and_not_at_all_before(edge: Edge, client: socket.socket) -> None:
    assert say(client, b"first") == b"first"
    edge.hold()
    client.settimeout(PATIENCE)
    client.sendall(b"second")
    with pytest.raises(TimeoutError):
        client.recv(1024)
    edge.release()
    client.settimeout(10)
    assert client.recv(1024) == b"second"


def test_a_new_connection_to_a_held_edge_hears_nothing(edge: Edge) -> None:
    edge.hold()
    with socket.create_connection(("127.0.0.1", edge.port), timeout=PATIENCE) as late:
        late.sendall(b"hello")
        with pytest.raises(TimeoutError):
            late.recv(1024)
        edge.release()
        late.settimeout(10)
        assert late.recv(1024) == b"hello"


def test_a_reset_breaks_what_is_open_and_nothing_after_it(edge: Edge, client: socket.socket) -> None:
    assert say(client, b"hello") == b"hello"
    edge.reset()
    with pytest.raises(ConnectionResetError):
        client.recv(1024)
    with socket.create_connection(("127.0.0.1", edge.port), timeout=10) as fresh:
        assert say(fresh, b"again") == b"again"


def test_a_severed_connection_ends_for_its_caller_and_for_the_server_only_later(edge: Edge) -> None:
    here, there = socket.socketpair()
    with here, there:
        edge._connect = lambda: asyncio.open_connection(sock=there)
        with socket.create_connection(("127.0.0.1", edge.port), timeout=10) as client:
            client.sendall(b"hello")
            here.settimeout(10)
            assert here.recv(1024) == b"hello"
            edge.sever()
            with pytest.raises(ConnectionResetError):
                client.recv(1024)
            here.settimeout(PATIENCE)
            with pytest.raises(TimeoutError):
                here.recv(1024)
            edge.farewell()
            here.settimeout(10)
            assert here.recv(1024) == b""


def test_a_slow_edge_takes_its_time_each_way(edge: Edge, client: socket.socket) -> None:
    edge.delay(0.2)
    began = time.monotonic()
    assert say(client, b"hello") == b"hello"
    assert time.monotonic() - began >= 0.4
