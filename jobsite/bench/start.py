"""Runs `python -m jobsite.bench` on a database and a broker, and brings back what it measured."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from .. import leash
from ..embedded import BASE_DIR, EngineError

LONGEST_STOP = 90.0
"""Seconds that it may take to stop all that it has started."""


def measured(environment: Mapping[str, str], options: Mapping[str, Any]) -> dict[str, Any]:
    """The result. Raises EngineError if there is none; what the process said is on stderr then."""
    command = [sys.executable, leash.__file__, "TERM", sys.executable, "-m", "jobsite.bench", json.dumps(options)]
    process = subprocess.Popen(
        command,
        cwd=BASE_DIR,
        env={**environment, leash.PARENT: str(os.getpid())},
        stdout=subprocess.PIPE,
        # Ctrl-C goes to all of the terminal's processes; this one passes it on, and waits.
        start_new_session=True,
    )
    try:
        said, _ = process.communicate()
    except BaseException:
        process.terminate()
        process.wait(LONGEST_STOP)
        raise
    if process.returncode:
        raise EngineError("The bench has ended without a result; the reason is above.")
    result: dict[str, Any] = json.loads(said)
    return result
