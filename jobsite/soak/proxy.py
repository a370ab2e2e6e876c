"""A TCP proxy on 127.0.0.1 with one port per edge, each of which can pass, hold back, slow down or reset."""

import asyncio
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
CHUNK = 65_536
AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER for a reset instead of a farewell."""


class Edge:
    """The connections of some processes to one server. Its methods may be called from any thread."""

    def __init__(self, name: str, connect: Callable[[], Awaitable[Streams]]) -> None:
        self.name = name
        self.port = 0
        self._connect = connect
        self._passes = asyncio.Event()
        self._passes.set()
        self._tells = asyncio.Event()
        self._tells.set()
        self._latency = 0.0
        self._open: set[asyncio.StreamWriter] = set()
        self._callers: set[asyncio.StreamWriter] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def hold(self) -> None:
        """A black hole: connections stay, nothing arrives any more."""
        self._call(self._passes.clear)

    def release(self) -> None:
        """What was held back arrives late, and everything after it as ever."""
        self._call(self._passes.set)

    def delay(self, seconds: float) -> None:
        """Every piece of data takes that much longer; 0 ends it."""
        self._latency = seconds

    def reset(self) -> None:
        """Break every connection; new ones are accepted."""
        self._call(self._reset)

    def sever(self) -> None:
        """Break every connection on its caller's side alone: until `farewell` the server takes it for alive."""
        self._call(self._sever)

    def farewell(self) -> None:
        """The server hears of the connections that were severed."""
        self._call(self._tells.set)

    def _call(self, function: Callable[[], None]) -> None:
        assert self._loop is not None, "the proxy has not started"
        self._loop.call_soon_threadsafe(function)

    def _sever(self) -> None:
        self._tells.clear()
        self._break(self._callers)

    def _reset(self) -> None:
        self._tells.set()
        self._break(self._open)

    def _break(self, writers: set[asyncio.StreamWriter]) -> None:
        for writer in list(writers):
            if (connection := writer.get_extra_info("socket")) is not None:
                with suppress(OSError):
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            writer.transport.abort()

    async def serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        self._callers.add(writer)
        try:
            await self._passes.wait()
            there = await self._connect()
        except OSError:
            self._close(writer)
            return
        self._open.add(there[1])
        try:
            await asyncio.gather(self._pump(reader, there[1]), self._pump(there[0], writer))
        except OSError:
            pass
        finally:
            self._close(writer)
            await self._tells.wait()
            self._close(there[1])

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            if not self._passes.is_set():
                await self._passes.wait()
            if self._latency:
                await asyncio.sleep(self._latency)
            writer.write(data)
            await writer.drain()
        # Its end is the end of both: neither PostgreSQL nor a broker goes on with one direction.
        raise ConnectionAbortedError

    def _close(self, writer: asyncio.StreamWriter) -> None:
        self._open.discard(writer)
        self._callers.discard(writer)
        writer.close()


class Proxy:
    """Runs its edges in a thread of its own."""

    def __init__(self, edges: list[Edge]) -> None:
        self.edges = edges
        self._ready = threading.Event()

    def start(self) -> None:
        threading.Thread(target=asyncio.run, args=(self._run(),), name="soak-proxy", daemon=True).start()
        if not self._ready.wait(10):
            raise RuntimeError("The soak's proxy did not start within 10 s.")

    async def _run(self) -> None:
        for edge in self.edges:
            await edge.serve()
        self._ready.set()
        await asyncio.Event().wait()
