"""A gate in front of a server: open until it is shut; then it refuses, and what went through it is cut."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self


class Gate:
    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        """`connect` opens a connection to the server."""
        self._connect = connect
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._through: list[socket.socket] = []
        self.port = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shut()

    def shut(self) -> None:
        for end in (self._listener, *self._through):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = self._connect()
                self._through += [near, far]
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=_pump, args=(source, target), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_RDWR)
